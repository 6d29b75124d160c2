//! An environment for RocksDB in which every file is encrypted.
//!
//! RocksDB does all that it does with files through a C++ class of its own, `FileSystem`. `filesystem.cc` is one that lays
//! [`geodynamo_seal`]'s ciphers over the files of the default one; it says what keeps a key stream from being used twice. This
//! crate is the workspace's only one with unsafe code, and holds nothing else: what C++ calls is below, each a few lines
//! around safe code; and in `waits.rs` what RocksDB knows of a thread's waits.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    fmt::Display,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    ptr, slice,
    sync::Arc,
};

use geodynamo_seal::{FILE_HEADER_BYTES, FileCipher, Keyring};
use rocksdb::Env;

mod reader;
mod waits;

pub use reader::{Form, PlainWal, Reader, masked_crc32c};
pub use waits::{Waits, timed};

/// What C++ calls.
#[repr(C)]
struct Calls {
    begin: unsafe extern "C" fn(*const c_void, *const u8, *mut u8, *mut c_char, usize) -> *mut c_void,
    open: unsafe extern "C" fn(*const c_void, *const u8, *mut c_char, usize) -> *mut c_void,
    encrypt: unsafe extern "C" fn(*const c_void, u64, *mut u8, usize) -> bool,
    decrypt: unsafe extern "C" fn(*const c_void, u64, *mut u8, usize) -> bool,
    free_cipher: unsafe extern "C" fn(*mut c_void),
    reader: unsafe extern "C" fn(*mut c_void, u8, u64) -> *mut c_void,
    read: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> bool,
    skip: unsafe extern "C" fn(*mut c_void, u64),
    free_reader: unsafe extern "C" fn(*mut c_void),
    free_seal: unsafe extern "C" fn(*mut c_void),
}

static CALLS: Calls = Calls {
    begin,
    open,
    encrypt,
    decrypt,
    free_cipher,
    reader,
    read,
    skip,
    free_reader,
    free_seal,
};

unsafe extern "C" {
    fn geodynamo_sealed_env(calls: *const Calls, seal: *mut c_void) -> *mut librocksdb_sys::rocksdb_env_t;
    fn geodynamo_header_bytes() -> usize;
    fn geodynamo_drop_table(
        path: *const c_char,
        family: *const c_char,
        second: *const c_char,
        env: *mut librocksdb_sys::rocksdb_env_t,
        number: u64,
        error: *mut c_char,
        error_bytes: usize,
    ) -> bool;
    fn geodynamo_needed_log(
        path: *const c_char,
        family: *const c_char,
        second: *const c_char,
        env: *mut librocksdb_sys::rocksdb_env_t,
        number: *mut u64,
        error: *mut c_char,
        error_bytes: usize,
    ) -> bool;
}

/// Bytes of an error's text, with a zero at its end.
const ERROR_BYTES: usize = 1024;

/// An environment whose files are encrypted with keys of a keyring, and hold nothing else: a file that is not encrypted is
/// taken for damaged. Background threads are the default environment's.
pub fn sealed(keyring: Keyring) -> Env {
    // SAFETY: what comes back is an `rocksdb_env_t` that nobody else has; `build.rs` has checked its layout.
    unsafe { Env::from_raw(raw(keyring)) }
}

/// The same, as C++ has it; the caller's to free.
fn raw(keyring: Keyring) -> *mut librocksdb_sys::rocksdb_env_t {
    // SAFETY: it takes nothing, and gives a constant.
    assert_eq!(unsafe { geodynamo_header_bytes() }, FILE_HEADER_BYTES);
    let seal = Arc::into_raw(Arc::new(keyring)).cast_mut().cast();
    // SAFETY: the table is static, and its functions have the types that `filesystem.cc` has of them. `seal` is taken over and
    // given to `free_seal` once, when the file system is gone.
    unsafe { geodynamo_sealed_env(&CALLS, seal) }
}

/// Takes a table file, by its number, out of a store that nobody has open: its manifest is written anew without it, and the
/// next who opens the store removes the file. That is all: rows that it held are gone, and what it had overwritten or deleted is
/// there again, unless something newer says otherwise. Nothing happens if the file is not part of the store.
///
/// `second` is a column family that has files in another folder, too, and that folder.
///
/// # Errors
/// What RocksDB says, if the store's manifest cannot be read or written.
pub fn drop_table(
    path: &Path,
    second: Option<(&str, &Path)>,
    keyring: Option<Keyring>,
    number: u64,
) -> Result<(), String> {
    of_closed(path, second, keyring, |place, error| {
        // SAFETY: as `of_closed` says.
        unsafe {
            geodynamo_drop_table(
                place.path,
                place.family,
                place.folder,
                place.env,
                number,
                error,
                ERROR_BYTES,
            )
        }
    })
}

/// The number of the first write-ahead log that a store which nobody has open still needs: what was in earlier ones is in its
/// tables. There need not be a log of that number. `second`: as for [`drop_table`].
///
/// # Errors
/// What RocksDB says, if the store's manifest cannot be read.
pub fn needed_log(path: &Path, second: Option<(&str, &Path)>, keyring: Option<Keyring>) -> Result<u64, String> {
    let mut number = 0;
    of_closed(path, second, keyring, |place, error| {
        // SAFETY: as `of_closed` says; `number` is there for as long as the call takes.
        unsafe {
            geodynamo_needed_log(
                place.path,
                place.family,
                place.folder,
                place.env,
                &raw mut number,
                error,
                ERROR_BYTES,
            )
        }
    })?;
    Ok(number)
}

/// A store that nobody has open, as C++ is told of it.
struct Place {
    path: *const c_char,
    family: *const c_char,
    /// May be null.
    folder: *const c_char,
    /// May be null.
    env: *mut librocksdb_sys::rocksdb_env_t,
}

/// Calls something of `manifest.cc`. Its texts end in a zero, and outlive the call, as does its environment; and there is room
/// for [`ERROR_BYTES`] of an error.
fn of_closed(
    path: &Path,
    second: Option<(&str, &Path)>,
    keyring: Option<Keyring>,
    call: impl FnOnce(&Place, *mut c_char) -> bool,
) -> Result<(), String> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|error| error.to_string());
    let path = text(path.as_os_str().as_bytes())?;
    let (family, folder) = match second {
        Some((family, folder)) => (text(family.as_bytes())?, Some(text(folder.as_os_str().as_bytes())?)),
        None => (CString::default(), None),
    };
    let mut error = [0u8; ERROR_BYTES];
    let env = keyring.map_or(ptr::null_mut(), raw);
    let place = Place {
        path: path.as_ptr(),
        family: family.as_ptr(),
        folder: folder.as_ref().map_or(ptr::null(), |folder| folder.as_ptr()),
        env,
    };
    let is_done = call(&place, error.as_mut_ptr().cast());
    if !env.is_null() {
        // SAFETY: nobody else has it, and what used it has ended.
        drop(unsafe { Env::from_raw(env) });
    }
    if is_done {
        return Ok(());
    }
    let said = CStr::from_bytes_until_nul(&error).map_or_else(|_| "no text".into(), CStr::to_string_lossy);
    Err(said.into_owned())
}

/// Writes an error's text where C++ wants it, with a zero behind it.
///
/// # Safety
/// `to` has `room` bytes that can be written.
unsafe fn tell(error: impl Display, to: *mut c_char, room: usize) -> *mut c_void {
    let text = error.to_string();
    let count = text.len().min(room.saturating_sub(1));
    if room > 0 {
        // SAFETY: `count` is less than `room`.
        unsafe {
            ptr::copy_nonoverlapping(text.as_ptr(), to.cast(), count);
            to.add(count).write(0);
        }
    }
    ptr::null_mut()
}

fn handed_over<T>(value: T) -> *mut c_void {
    Box::into_raw(Box::new(value)).cast()
}

/// # Safety
/// `seal` is what `geodynamo_sealed_env` was given; `over` is null or a header; `header` has room for one, `error` for
/// `room` bytes.
unsafe extern "C" fn begin(
    seal: *const c_void,
    over: *const u8,
    header: *mut u8,
    error: *mut c_char,
    room: usize,
) -> *mut c_void {
    // SAFETY: as the caller promises.
    let (keyring, over) = unsafe {
        let over = (!over.is_null()).then(|| slice::from_raw_parts(over, FILE_HEADER_BYTES));
        (&*seal.cast::<Keyring>(), over)
    };
    match keyring.begin_file(over) {
        Ok((begun, cipher)) => {
            // SAFETY: as the caller promises.
            unsafe { ptr::copy_nonoverlapping(begun.as_ptr(), header, FILE_HEADER_BYTES) };
            handed_over(cipher)
        }
        // SAFETY: as the caller promises.
        Err(failed) => unsafe { tell(failed, error, room) },
    }
}

/// # Safety
/// `seal` is what `geodynamo_sealed_env` was given; `header` is one's bytes; `error` has `room` bytes.
unsafe extern "C" fn open(seal: *const c_void, header: *const u8, error: *mut c_char, room: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    let (keyring, header) = unsafe {
        (
            &*seal.cast::<Keyring>(),
            slice::from_raw_parts(header, FILE_HEADER_BYTES),
        )
    };
    match keyring.open_file(header) {
        Ok(cipher) => handed_over(cipher),
        // SAFETY: as the caller promises.
        Err(failed) => unsafe { tell(failed, error, room) },
    }
}

/// # Safety
/// `cipher` is one that was handed over; `bytes` has `count` bytes that nobody else uses meanwhile.
unsafe extern "C" fn encrypt(cipher: *const c_void, offset: u64, bytes: *mut u8, count: usize) -> bool {
    // SAFETY: as the caller promises.
    let (cipher, bytes) = unsafe { (&*cipher.cast::<FileCipher>(), slice::from_raw_parts_mut(bytes, count)) };
    cipher.seal(offset, bytes).is_ok()
}

/// # Safety
/// As of [`encrypt`].
unsafe extern "C" fn decrypt(cipher: *const c_void, offset: u64, bytes: *mut u8, count: usize) -> bool {
    // SAFETY: as the caller promises.
    let (cipher, bytes) = unsafe { (&*cipher.cast::<FileCipher>(), slice::from_raw_parts_mut(bytes, count)) };
    cipher.open(offset, bytes).is_ok()
}

/// # Safety
/// `cipher` is one that was handed over, and is not used any more.
unsafe extern "C" fn free_cipher(cipher: *mut c_void) {
    // SAFETY: as the caller promises.
    drop(unsafe { Box::from_raw(cipher.cast::<FileCipher>()) });
}

/// # Safety
/// `cipher` is one that was handed over, and is the reader's from now on.
unsafe extern "C" fn reader(cipher: *mut c_void, form: u8, number: u64) -> *mut c_void {
    // SAFETY: as the caller promises.
    let cipher = unsafe { Box::from_raw(cipher.cast::<FileCipher>()) };
    handed_over(Reader::new(*cipher, Form::of(form, number)))
}

/// # Safety
/// `reader` is one that was handed over, which nobody else uses meanwhile; `bytes` has `count` bytes likewise.
unsafe extern "C" fn read(reader: *mut c_void, bytes: *mut u8, count: usize) -> bool {
    // SAFETY: as the caller promises.
    let (reader, bytes) = unsafe { (&mut *reader.cast::<Reader>(), slice::from_raw_parts_mut(bytes, count)) };
    reader.next(bytes).is_ok()
}

/// # Safety
/// `reader` is one that was handed over, which nobody else uses meanwhile.
unsafe extern "C" fn skip(reader: *mut c_void, count: u64) {
    // SAFETY: as the caller promises.
    unsafe { &mut *reader.cast::<Reader>() }.skip(count);
}

/// # Safety
/// `reader` is one that was handed over, and is not used any more.
unsafe extern "C" fn free_reader(reader: *mut c_void) {
    // SAFETY: as the caller promises.
    drop(unsafe { Box::from_raw(reader.cast::<Reader>()) });
}

/// # Safety
/// `seal` is what `geodynamo_sealed_env` was given, and is not used any more.
unsafe extern "C" fn free_seal(seal: *mut c_void) {
    // SAFETY: as the caller promises.
    drop(unsafe { Arc::from_raw(seal.cast::<Keyring>()) });
}

#[cfg(test)]
mod tests;
