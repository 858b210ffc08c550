//! Parts of logging in that the `ssh2` crate lacks, or where it trusts the server's text.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

use libssh2_sys as raw;
use ssh2::{Error, ErrorCode, Session};

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
    /// What libssh2 allocates with, and frees what it is given, by default.
    fn malloc(size: usize) -> *mut c_void;
}

/// Signs what it is given, or says why not by other means.
type Signer<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// Asks which methods the server takes (`none`, RFC 4252, 5.2); to be repeated while it would block.
/// None if it has let us in.
pub(crate) fn auth_methods(session: &Session, user: &str) -> Result<Vec<String>, Error> {
    let user_name = c_string(user)?;
    let mut locked = session.raw();
    let locked: *mut _ = &raw mut *locked;
    // SAFETY: the session is valid and locked, and the name is copied. A list that is not null ends
    // in NUL and lives in the session until it is asked for again.
    unsafe {
        let length = user.len() as c_uint;
        let list = raw::libssh2_userauth_list(locked, user_name.as_ptr(), length);
        if !list.is_null() {
            let list = CStr::from_ptr(list).to_string_lossy();
            return Ok(list.split(',').map(str::to_owned).collect());
        }
        if raw::libssh2_userauth_authenticated(locked) != 0 {
            return Ok(Vec::new());
        }
    }
    Err(Error::last_session_error_raw(locked).unwrap_or_else(Error::unknown))
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
    let mut locked = session.raw();
    let locked: *mut _ = &raw mut *locked;
    let mut context: *mut c_void = (&raw mut sign).cast();
    // SAFETY: the session is valid and locked. Both inputs are copied or used up before the call
    // returns, and so is the context, a pointer to what `call_signer` takes it for.
    let result = unsafe {
        libssh2_userauth_publickey(
            locked,
            user.as_ptr(),
            public.as_ptr(),
            public.len(),
            call_signer,
            &raw mut context,
        )
    };
    if result == 0 { Ok(()) } else { Err(Error::from_session_error_raw(locked, result)) }
}

extern "C" fn call_signer(
    _session: *mut raw::LIBSSH2_SESSION,
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
    // SAFETY: what is allocated has room for the signature, and becomes libssh2's own, which frees
    // it. The places for both results are valid for the call.
    unsafe {
        let copy = malloc(signed.len().max(1)).cast::<u8>();
        if copy.is_null() {
            return raw::LIBSSH2_ERROR_ALLOC;
        }
        ptr::copy_nonoverlapping(signed.as_ptr(), copy, signed.len());
        *signature = copy;
        *signature_length = signed.len();
    }
    0
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| {
        Error::new(ErrorCode::Session(raw::LIBSSH2_ERROR_INVAL), "there is a NUL character in it")
    })
}
