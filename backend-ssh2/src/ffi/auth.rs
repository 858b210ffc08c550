//! Parts of logging in that the `ssh2` crate lacks, or where it trusts the server's text.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use libssh2_sys as raw;

use super::errors::Error;
use super::memory::{self, Account};
use super::session::{Session, c_string};

type Sign = extern "C" fn(
    *mut raw::LIBSSH2_SESSION,
    *mut *mut u8,
    *mut usize,
    *const u8,
    usize,
    *mut *mut c_void,
) -> c_int;

unsafe extern "C" {
    fn libssh2_userauth_publickey(
        session: *mut raw::LIBSSH2_SESSION,
        user: *const c_char,
        public: *const u8,
        public_length: usize,
        sign: Sign,
        context: *mut *mut c_void,
    ) -> c_int;
}

/// Signs what it is given, or says why not by other means.
type Signer<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// Asks which methods the server takes (`none`, RFC 4252, 5.2); to be repeated while it would block.
/// None if it has let us in.
pub(crate) fn auth_methods(session: &Session, user: &str) -> Result<Vec<String>, Error> {
    let user_name = c_string(user)?;
    let locked = session.lock();
    // SAFETY: the session is valid and locked, and the name is copied. A list that is not null ends
    // in NUL and lives in the session until it is asked for again.
    unsafe {
        let length = user.len() as c_uint;
        let list = raw::libssh2_userauth_list(locked.raw(), user_name.as_ptr(), length);
        if !list.is_null() {
            let list = CStr::from_ptr(list).to_string_lossy();
            return Ok(list.split(',').map(str::to_owned).collect());
        }
        if raw::libssh2_userauth_authenticated(locked.raw()) != 0 {
            return Ok(Vec::new());
        }
    }
    Err(locked.last_error())
}

/// Sends a public key, or a certificate, and what `sign` makes of the server's challenge; to be
/// repeated while it would block. `sign` gives the signature without its algorithm's name, which
/// libssh2 puts before it.
pub(crate) fn auth_signed(
    session: &Session,
    user: &str,
    public: &[u8],
    mut sign: Signer<'_>,
) -> Result<(), Error> {
    let user = c_string(user)?;
    let locked = session.lock();
    let mut context: *mut c_void = (&raw mut sign).cast();
    // SAFETY: the session is valid and locked. Both inputs are copied or used up before the call
    // returns, and so is the context, a pointer to what `call_signer` takes it for.
    let result = unsafe {
        libssh2_userauth_publickey(
            locked.raw(),
            user.as_ptr(),
            public.as_ptr(),
            public.len(),
            call_signer,
            &raw mut context,
        )
    };
    if result == 0 { Ok(()) } else { Err(locked.error(result)) }
}

extern "C" fn call_signer(
    session: *mut raw::LIBSSH2_SESSION,
    signature: *mut *mut u8,
    signature_length: *mut usize,
    data: *const u8,
    data_length: usize,
    context: *mut *mut c_void,
) -> c_int {
    // SAFETY: the context is that of `auth_signed`, which is under way, and nobody else uses it;
    // the data are libssh2's, of this length, and valid for the call.
    let signed = unsafe {
        let sign = &mut *(*context).cast::<Signer<'_>>();
        sign(std::slice::from_raw_parts(data, data_length))
    };
    let Some(signed) = signed else { return raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED };
    // SAFETY: the session is the one whose call is under way. The copy becomes libssh2's own, which
    // frees it. The places for both results are valid for the call.
    unsafe {
        let copy = memory::copy(&signed, raw::libssh2_session_abstract(session));
        if copy.is_null() {
            return raw::LIBSSH2_ERROR_ALLOC;
        }
        *signature = copy;
        *signature_length = signed.len();
    }
    0
}

/// Who answers what a server asks.
pub(crate) trait Prompter {
    /// One answer for each prompt. Fewer, or a panic, are empty answers.
    fn prompt(&mut self, name: &str, instructions: &str, prompts: &[Prompt<'_>]) -> Vec<String>;
}

/// What a server asks, and whether the answer may be shown.
#[derive(Debug)]
pub(crate) struct Prompt<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) echo: bool,
}

/// Begins, or goes on with, a dialogue (RFC 4256); to be repeated while it would block.
pub(crate) fn auth_interactive<P: Prompter>(
    session: &Session,
    user: &str,
    prompter: &mut P,
) -> Result<(), Error> {
    session.with_prompter(NonNull::from(prompter).cast(), |session| {
        // SAFETY: the session is valid and locked, and the name has this length and is copied. The
        // callback is called during this call only, with the prompter in the account.
        unsafe {
            raw::libssh2_userauth_keyboard_interactive_ex(
                session,
                user.as_ptr().cast(),
                user.len() as c_uint,
                Some(call_prompter::<P>),
            )
        }
    })
}

extern "C" fn call_prompter<P: Prompter>(
    name: *const c_char,
    name_length: c_int,
    instructions: *const c_char,
    instructions_length: c_int,
    count: c_int,
    prompts: *const raw::LIBSSH2_USERAUTH_KBDINT_PROMPT,
    responses: *mut raw::LIBSSH2_USERAUTH_KBDINT_RESPONSE,
    context: *mut *mut c_void,
) {
    let length = |length: c_int| usize::try_from(length).unwrap_or(0);
    // SAFETY: the account is that of the session whose call is under way, and the prompter the one
    // that `auth_interactive` put there, of this type, which nobody else uses meanwhile. The texts
    // and both lists are libssh2's, of these lengths, and valid for the call.
    let (prompter, name, instructions, prompts, responses) = unsafe {
        let account = Account::of(context);
        let Some(prompter) = account.and_then(|account| account.prompter) else { return };
        if prompts.is_null() || responses.is_null() {
            return;
        }
        (
            &mut *prompter.cast::<P>().as_ptr(),
            text(name.cast(), length(name_length)),
            text(instructions.cast(), length(instructions_length)),
            std::slice::from_raw_parts(prompts, length(count)),
            std::slice::from_raw_parts_mut(responses, length(count)),
        )
    };
    let prompts: Vec<_> = prompts
        .iter()
        // SAFETY: as above.
        .map(|prompt| unsafe { (text(prompt.text, prompt.length), prompt.echo != 0) })
        .map(|(text, echo)| Prompt { text, echo })
        .collect();
    let asked = AssertUnwindSafe(|| prompter.prompt(&name, &instructions, &prompts));
    // Nothing may unwind into libssh2, which takes what has no answer for an empty one.
    for (answer, response) in catch_unwind(asked).unwrap_or_default().iter().zip(responses) {
        // SAFETY: the session is the one whose call is under way; the copy becomes libssh2's own.
        let copy = unsafe { memory::copy(answer.as_bytes(), context) };
        response.text = copy.cast();
        response.length = if copy.is_null() { 0 } else { answer.len() as c_uint };
    }
}

/// # Safety
///
/// The text has this length and is valid for `'a`, or it is null.
unsafe fn text<'a>(text: *const u8, length: usize) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: as the caller promises.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text, length) })
}
