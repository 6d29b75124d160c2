//! Region keys: what data keys are wrapped under.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::{
    KeyId, Result, SealError, Secret,
    secret::{hex, random},
};

/// The longest text of keys, in bytes.
const TEXT_BYTES_MAX: u64 = 64 * 1024;
/// The most keys in one.
const KEYS_MAX: usize = 64;
const NAME_PURPOSE: &str = "geodynamo region key's name 1";
const WRAP_PURPOSE: &str = "geodynamo region key 1";

/// Master keys of a key service, by the names that tables are given.
pub trait MasterKeys: Send + Sync + fmt::Debug {
    /// The key of a name, which may be none of the service's: then it seals and opens nothing.
    fn master_key(&self, name: &str) -> Arc<dyn RegionKey>;
}

/// What wraps data keys. It is asked when a region starts and when keys are rotated, and never while requests are answered.
pub trait RegionKey: Send + Sync + fmt::Debug {
    /// Where it is from, for people.
    fn source(&self) -> String;

    /// The name of the key that wraps from now on.
    fn name(&self) -> String;

    /// Wraps a data key.
    ///
    /// # Errors
    /// If the key cannot be used.
    fn wrap(&self, id: KeyId, secret: &Secret) -> Result<Vec<u8>>;

    /// The data key that was wrapped under the key of a name; none if that is not here.
    ///
    /// # Errors
    /// If the key cannot be used, or it is here and did not wrap this.
    fn unwrap(&self, name: &str, id: KeyId, wrapped: &[u8]) -> Result<Option<Secret>>;
}

/// Region keys whose bytes this process has: a text of them, one on a line, as 64 hexadecimal digits or base64. The first one
/// wraps; the others still unwrap. Lines with a `#` are comments.
#[derive(Clone)]
pub struct LocalKey {
    source: String,
    keys: Vec<(String, Secret)>,
}

impl LocalKey {
    /// The keys in a file.
    ///
    /// # Errors
    /// [`SealError::Open`] if others than its owner may read it; [`SealError::File`], [`SealError::NoKey`].
    pub fn from_file(path: &Path) -> Result<Self> {
        let failed = |source| SealError::File {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => SealError::NoKey(format!("{} is not there", path.display())),
            _ => failed(error),
        })?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SealError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        (&mut file)
            .take(TEXT_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Self::parse(path.display().to_string(), &text)
    }

    /// The keys in an environment variable.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if there are none.
    pub fn from_variable(name: &str) -> Result<Self> {
        match std::env::var(name) {
            Ok(text) => Self::parse(format!("the variable {name}"), &Zeroizing::new(text)),
            Err(error) => Err(SealError::NoKey(format!("the variable {name}: {error}"))),
        }
    }

    /// The keys that a command writes to its standard output.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if it fails, or writes none.
    pub fn from_command(words: &[String]) -> Result<Self> {
        let source = format!("the command '{}'", words.join(" "));
        let failed = |reason: &dyn fmt::Display| SealError::NoKey(format!("{source}: {reason}"));
        let (program, arguments) = words.split_first().ok_or_else(|| failed(&"it is empty"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let mut text = Zeroizing::new(String::new());
        let read = match child.stdout.take() {
            Some(stdout) => stdout.take(TEXT_BYTES_MAX).read_to_string(&mut text),
            None => Ok(0),
        };
        // What it has to say beyond that goes nowhere: its pipe is closed.
        let ended = child.wait().map_err(|error| failed(&error))?;
        read.map_err(|error| failed(&error))?;
        if !ended.success() {
            return Err(failed(&ended));
        }
        Self::parse(source, &text)
    }

    /// The keys in a text; `source` is where it is from.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if there is none, or a line is no key.
    pub fn parse(source: String, text: &str) -> Result<Self> {
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.contains('#') {
                continue;
            }
            let key = Secret::parse(line).filter(|_| keys.len() < KEYS_MAX);
            let key = key.ok_or_else(|| {
                SealError::NoKey(format!(
                    "{source}: line {number} is no key, which is 32 bytes in base64 or in hexadecimal digits"
                ))
            })?;
            keys.push((name_of(&key)?, key));
        }
        if keys.is_empty() {
            return Err(SealError::NoKey(format!("{source} has none")));
        }
        Ok(Self { source, keys })
    }

    /// Makes a file with a new key, for its owner only, unless there is a file. Gives whether it was made.
    ///
    /// # Errors
    /// [`SealError::File`].
    pub fn make_file(path: &Path) -> Result<bool> {
        if path.exists() {
            return Ok(false);
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|source| SealError::File {
                path: folder.to_owned(),
                source,
            })?;
        }
        write_keys(path, &[Secret::random()?])?;
        Ok(true)
    }

    /// Puts a new key before those of a file. From then on it wraps.
    ///
    /// # Errors
    /// As [`LocalKey::from_file`].
    pub fn add_to_file(path: &Path) -> Result<Self> {
        let mut keys = vec![Secret::random()?];
        keys.extend(Self::from_file(path)?.keys.into_iter().map(|(_, key)| key));
        keys.truncate(KEYS_MAX);
        write_keys(path, &keys)?;
        Self::from_file(path)
    }

    /// Leaves only the first key in a file.
    ///
    /// # Errors
    /// As [`LocalKey::from_file`].
    pub fn keep_first_of_file(path: &Path) -> Result<()> {
        let keys = Self::from_file(path)?.keys;
        write_keys(path, &keys.into_iter().map(|(_, key)| key).take(1).collect::<Vec<_>>())
    }

    /// The names of the keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(name, _)| &**name)
    }

    fn cipher(secret: &Secret) -> Result<LessSafeKey> {
        let key = secret.derive::<32>(&[], WRAP_PURPOSE)?;
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key)?))
    }
}

impl RegionKey for LocalKey {
    fn source(&self) -> String {
        self.source.clone()
    }

    fn name(&self) -> String {
        self.keys.first().map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn wrap(&self, id: KeyId, secret: &Secret) -> Result<Vec<u8>> {
        let (_, key) = self.keys.first().ok_or_else(|| SealError::NoKey(self.source.clone()))?;
        let nonce = random::<NONCE_LEN>()?;
        let mut wrapped = secret.reveal().to_vec();
        Self::cipher(key)?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(id.0),
            &mut wrapped,
        )?;
        Ok([&nonce[..], &wrapped].concat())
    }

    fn unwrap(&self, name: &str, id: KeyId, wrapped: &[u8]) -> Result<Option<Secret>> {
        let Some((_, key)) = self.keys.iter().find(|(own, _)| own == name) else {
            return Ok(None);
        };
        let damaged = || SealError::Damaged(format!("the data key {id} in the keyring is damaged"));
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = Self::cipher(key)?.open_in_place(nonce, Aad::from(id.0), &mut bytes);
        let plain: &[u8] = plain.map_err(|_| damaged())?;
        plain
            .try_into()
            .map(|plain| Some(Secret::new(plain)))
            .map_err(|_| damaged())
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalKey").field(&self.source).finish()
    }
}

/// What a key is called: it tells nothing of the key.
fn name_of(key: &Secret) -> Result<String> {
    Ok(format!("local-{}", hex(&*key.derive::<8>(&[], NAME_PURPOSE)?)))
}

fn write_keys(path: &Path, keys: &[Secret]) -> Result<()> {
    let mut text = Zeroizing::new(String::from(
        "# geodynamo: keys of a region, which its data keys are sealed under; the first one is in use.\n",
    ));
    for key in keys {
        text.push_str(&key.to_text());
        text.push('\n');
    }
    replace(path, text.as_bytes())
}

/// Replaces a file, or makes it, for its owner only: whole or not at all, and durably.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |source| SealError::File {
        path: path.to_owned(),
        source,
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    // What a crash left may have other permissions.
    let _ = fs::remove_file(new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(new, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/region.key");
        assert!(matches!(LocalKey::from_file(&path), Err(SealError::NoKey(_))));
        assert!(LocalKey::make_file(&path).unwrap());
        assert!(!LocalKey::make_file(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let first = LocalKey::from_file(&path).unwrap();
        let (id, secret) = (KeyId([3; 16]), Secret::random().unwrap());
        let wrapped = first.wrap(id, &secret).unwrap();
        assert_eq!(first.unwrap(&first.name(), id, &wrapped).unwrap(), Some(secret.clone()));
        assert!(first.unwrap(&first.name(), KeyId([4; 16]), &wrapped).is_err());
        assert!(first.unwrap(&first.name(), id, &wrapped[..20]).is_err());

        let both = LocalKey::add_to_file(&path).unwrap();
        assert_ne!(both.name(), first.name());
        assert_eq!(both.unwrap(&first.name(), id, &wrapped).unwrap(), Some(secret));
        LocalKey::keep_first_of_file(&path).unwrap();
        let last = LocalKey::from_file(&path).unwrap();
        assert_eq!(last.names().collect::<Vec<_>>(), [both.name()]);
        assert_eq!(last.unwrap(&first.name(), id, &wrapped).unwrap(), None);

        for mode in [0o644, 0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = LocalKey::from_file(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn commands_and_texts() {
        let command = |line: &str| LocalKey::from_command(&["sh".into(), "-c".into(), line.into()]);
        let key = hex(&[5; 32]);
        assert_eq!(
            command(&format!("echo {key}")).unwrap().name(),
            LocalKey::parse("a text".into(), &format!("# of mine\n\n{key}\n"))
                .unwrap()
                .name()
        );
        for bad in ["exit 3", "echo nothing", "true", &format!("echo {key}; exit 1")] {
            assert!(matches!(command(bad), Err(SealError::NoKey(_))), "{bad}");
        }
        assert!(LocalKey::from_command(&[]).is_err());
        assert!(LocalKey::from_variable("GEODYNAMO_NO_SUCH_VARIABLE").is_err());
    }
}
