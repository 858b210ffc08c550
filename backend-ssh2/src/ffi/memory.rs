//! What a session of libssh2 has allocated, counted and bounded.
//!
//! libssh2 keeps every packet that nobody waits for, without a limit, and cannot be asked how many
//! those are. But it allocates through functions of ours: so what one session holds is known, and
//! more than [`MAX_MEMORY`] it does not get, whatever its peer sends.

use std::ffi::c_void;
use std::ptr;

use crate::framing::Framing;

/// The most that one session may hold, in bytes: several windows full of the smallest packets.
const MAX_MEMORY: usize = 512 << 20;

/// What stands before each allocation: its size, and room to keep its alignment.
const HEADER: usize = 16;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn realloc(memory: *mut c_void, size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

/// What libssh2 gives back to us in each callback: that of one session, and used under its lock.
pub(super) struct Account {
    /// Bytes allocated and not freed.
    held: usize,
    /// The server's bytes, as they came by.
    pub(super) framing: Framing,
    /// Who answers the prompts of the call that is under way.
    pub(super) prompter: Option<ptr::NonNull<c_void>>,
}

impl Account {
    pub(super) fn new() -> Self {
        Self { held: 0, framing: Framing::default(), prompter: None }
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// The account behind what libssh2 hands to a callback.
    ///
    /// # Safety
    ///
    /// `context` is what libssh2 passes, of a session that was made with a pointer to an account
    /// that outlives it, and nobody else uses that account meanwhile.
    pub(super) unsafe fn of<'a>(context: *mut *mut c_void) -> Option<&'a mut Self> {
        // SAFETY: as the caller promises.
        unsafe { context.as_ref()?.cast::<Self>().as_mut() }
    }

    fn take(&mut self, size: usize) -> bool {
        match self.held.checked_add(size) {
            Some(held) if held <= MAX_MEMORY => {
                self.held = held;
                true
            }
            _ => false,
        }
    }

    fn give_back(&mut self, size: usize) {
        self.held = self.held.saturating_sub(size);
    }
}

/// Allocates as libssh2 asks; null where that is too much.
pub(super) extern "C" fn allocate(size: usize, context: *mut *mut c_void) -> *mut c_void {
    // SAFETY: libssh2 calls this under the session's lock, with the account that `Session::new`
    // gave it. What is allocated has room for the header and what was asked for.
    unsafe {
        let Some(account) = Account::of(context) else { return ptr::null_mut() };
        let Some(whole) = size.checked_add(HEADER) else { return ptr::null_mut() };
        if !account.take(size) {
            return ptr::null_mut();
        }
        let memory = malloc(whole);
        if memory.is_null() {
            account.give_back(size);
            return memory;
        }
        memory.cast::<usize>().write(size);
        memory.byte_add(HEADER)
    }
}

/// Frees what [`allocate`] gave.
pub(super) extern "C" fn release(memory: *mut c_void, context: *mut *mut c_void) {
    if memory.is_null() {
        return;
    }
    // SAFETY: as in `allocate`; what is freed came from there, so its size stands before it.
    unsafe {
        let memory = memory.byte_sub(HEADER);
        if let Some(account) = Account::of(context) {
            account.give_back(memory.cast::<usize>().read());
        }
        free(memory);
    }
}

/// Allocates anew, with what was there; null where that is too much, and all stays as it was.
pub(super) extern "C" fn reallocate(
    memory: *mut c_void,
    size: usize,
    context: *mut *mut c_void,
) -> *mut c_void {
    if memory.is_null() {
        return allocate(size, context);
    }
    // SAFETY: as in `allocate` and `release`.
    unsafe {
        let Some(account) = Account::of(context) else { return ptr::null_mut() };
        let Some(whole) = size.checked_add(HEADER) else { return ptr::null_mut() };
        let memory = memory.byte_sub(HEADER);
        let before = memory.cast::<usize>().read();
        if !account.take(size) {
            return ptr::null_mut();
        }
        let memory = realloc(memory, whole);
        if memory.is_null() {
            account.give_back(size);
            return memory;
        }
        account.give_back(before);
        memory.cast::<usize>().write(size);
        memory.byte_add(HEADER)
    }
}

/// A copy that libssh2 frees; null where there is no room for it.
///
/// # Safety
///
/// As [`Account::of`].
pub(super) unsafe fn copy(bytes: &[u8], context: *mut *mut c_void) -> *mut u8 {
    let copy = allocate(bytes.len().max(1), context).cast::<u8>();
    if !copy.is_null() {
        // SAFETY: it has room for them, and is nobody else's yet.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len()) };
    }
    copy
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use super::{Account, MAX_MEMORY, allocate, reallocate, release};

    #[test]
    fn what_is_held_is_counted_and_no_more_than_the_most_is_given() {
        let mut account = Account::new();
        let mut pointer = (&raw mut account).cast::<c_void>();
        let context = &raw mut pointer;
        let first = allocate(1000, context);
        // SAFETY: the account outlives this, and is used by nobody else.
        let held = || unsafe { Account::of(context) }.map(|account| account.held());
        assert!(!first.is_null() && held() == Some(1000));
        assert_eq!(first.addr() % 16, 0);
        let first = reallocate(first, 5000, context);
        assert_eq!(held(), Some(5000));
        assert!(reallocate(first, MAX_MEMORY, context).is_null() && held() == Some(5000));
        assert!(allocate(MAX_MEMORY, context).is_null() && allocate(usize::MAX, context).is_null());
        release(std::ptr::null_mut(), context);
        release(first, context);
        assert_eq!(held(), Some(0));
        let again = reallocate(std::ptr::null_mut(), 7, context);
        assert_eq!(held(), Some(7));
        release(again, context);
    }
}
