//! Damage to the files of a region that does not run, one file at a time: what kinds of files there are, what may happen to one,
//! and images of the files, from which a damaged folder is made again and again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use crate::Failure;
use crate::raw::Dice;

/// Bytes in which a file's header lies: flips are tried there more often than chance has it.
const HEADER_BYTES: u64 = 128;
/// Folders that may lie in each other.
const DEPTH_MAX: usize = 8;
/// It holds nothing, is large, and is made anew.
const LEFT_OUT: &str = "db.reserve";

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// One bit is another.
    Flip,
    /// Its end is gone, or all of it.
    Cut,
    /// It has another file's content, and that one has its.
    Swap,
    /// It is as it was some time ago.
    Older,
}

impl Harm {
    const ALL: [Harm; 4] = [Harm::Flip, Harm::Cut, Harm::Swap, Harm::Older];
}

/// What a file of a region is, by its name; `None` if no such file is known.
pub fn kind_of(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    let begins = |with: &str| name.starts_with(with);
    Some(match name {
        "data.key" => "the region's key",
        "keyring.json" => "keyring",
        "cluster.key" => "the cluster's key",
        "db.mark" => "mark",
        "db.lock" | "keyring.json.lock" | "LOCK" => "lock",
        "CURRENT" => "CURRENT",
        "IDENTITY" => "IDENTITY",
        _ if name.ends_with(".sst") => "table",
        _ if name.ends_with(".log") => "write-ahead log",
        _ if begins("MANIFEST-") => "MANIFEST",
        _ if begins("OPTIONS-") => "OPTIONS",
        _ if begins("LOG") => "messages",
        _ => return None,
    })
}

/// A copy of a region's files.
#[derive(Debug)]
pub struct Image {
    folder: PathBuf,
    /// Each file's name within the folder, and its kind.
    files: BTreeMap<PathBuf, &'static str>,
}

/// What is done to which file, and to which other one.
#[derive(Debug)]
pub struct Done {
    /// The files that are not as they were.
    pub files: Vec<PathBuf>,
    text: String,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Image {
    /// Copies some files and folders of `from`; what goes away meanwhile is left out.
    pub fn take(from: &Path, names: &[&str], to: &Path) -> Result<Image, Failure> {
        let mut files = BTreeMap::new();
        for name in names {
            gather(from, Path::new(name), DEPTH_MAX, &mut files)?;
        }
        fs::create_dir_all(to)?;
        let mut image = Image {
            folder: to.to_owned(),
            files: BTreeMap::new(),
        };
        for (name, kind) in files {
            if copy(&from.join(&name), &to.join(&name))? {
                image.files.insert(name, kind);
            }
        }
        Ok(image)
    }

    /// Puts the files where they came from, in the place of what is there now.
    pub fn lay(&self, at: &Path) -> Result<(), Failure> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let place = at.join(entry.file_name());
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_dir() => fs::remove_dir_all(&place)?,
                Ok(_) => fs::remove_file(&place)?,
                Err(_) => {}
            }
        }
        self.put_back(at, self.files.keys())
    }

    /// Puts some of the files back.
    pub fn put_back<'a>(&self, at: &Path, files: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
        for name in files {
            if !copy(&self.folder.join(name), &at.join(name))? {
                return Err(format!("{} is no file of the image", name.display()).into());
            }
        }
        Ok(())
    }

    /// How many files there are of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.files.values().filter(|of| **of == kind).count()
    }

    /// What can happen to which kinds of files; `older`: images of the same files, taken earlier.
    pub fn cases(&self, older: &[Image]) -> Result<Vec<(&'static str, Harm)>, Failure> {
        let mut kinds: Vec<&'static str> = self.files.values().copied().collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut cases = Vec::new();
        for harm in Harm::ALL {
            for kind in &kinds {
                if !self.candidates(kind, harm, older)?.is_empty() {
                    cases.push((*kind, harm));
                }
            }
        }
        Ok(cases)
    }

    /// Files of a kind that a harm does something to, each with the other file that it takes.
    fn candidates(&self, kind: &str, harm: Harm, older: &[Image]) -> Result<Vec<(PathBuf, Option<PathBuf>)>, Failure> {
        let mut found = Vec::new();
        for (name, _) in self.files.iter().filter(|(_, of)| **of == kind) {
            let content = fs::read(self.folder.join(name))?;
            match harm {
                Harm::Flip | Harm::Cut if content.is_empty() => {}
                Harm::Flip | Harm::Cut => found.push((name.clone(), None)),
                Harm::Swap => {
                    let alone = self.count(kind) == 1;
                    for (other, of) in &self.files {
                        if other != name && (alone || *of == kind) && fs::read(self.folder.join(other))? != content {
                            found.push((name.clone(), Some(other.clone())));
                        }
                    }
                }
                Harm::Older => {
                    for image in older.iter().filter(|image| image.files.contains_key(name)) {
                        let former = image.folder.join(name);
                        if fs::read(&former)? != content {
                            found.push((name.clone(), Some(former)));
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Does something to a file of a kind, in a folder where the image was laid. Which file, and where in it, is by chance.
    pub fn harm(
        &self,
        at: &Path,
        (kind, harm): (&str, Harm),
        older: &[Image],
        dice: &mut Dice,
    ) -> Result<Done, Failure> {
        let mut candidates = self.candidates(kind, harm, older)?;
        if candidates.is_empty() {
            return Err(format!("nothing of this kind can happen: {harm:?} of {kind}").into());
        }
        let chosen = usize::try_from(dice.below(candidates.len() as u64))?;
        let (name, other) = candidates.swap_remove(chosen);
        let path = at.join(&name);
        let mut content = fs::read(&path)?;
        let bytes = content.len() as u64;
        let mut files = vec![name.clone()];
        let what = match (harm, other) {
            (Harm::Flip, _) => {
                let within = if dice.below(3) == 0 {
                    HEADER_BYTES.min(bytes)
                } else {
                    bytes
                };
                let (place, bit) = (dice.below(within), dice.below(8));
                content[usize::try_from(place)?] ^= 1 << bit;
                fs::write(&path, content)?;
                format!("bit {bit} of byte {place} of {bytes} is another")
            }
            (Harm::Cut, _) => {
                let left = match dice.below(4) {
                    0 => 0,
                    1 => bytes - 1,
                    _ => dice.below(bytes),
                };
                content.truncate(usize::try_from(left)?);
                fs::write(&path, content)?;
                format!("{left} of {bytes} bytes are left")
            }
            (_, None) => return Err("there is no other file".into()),
            (Harm::Swap, Some(other)) => {
                fs::write(&path, fs::read(at.join(&other))?)?;
                fs::write(at.join(&other), content)?;
                let what = format!("it and {} have each other's content", other.display());
                files.push(other);
                what
            }
            (Harm::Older, Some(former)) => {
                let content = fs::read(&former)?;
                let was = content.len();
                fs::write(&path, content)?;
                format!("it is as it was, {was} bytes instead of {bytes}")
            }
        };
        Ok(Done {
            text: format!("{} ({kind}): {what}", name.display()),
            files,
        })
    }
}

/// Notes the files of a folder, or one file, by their names within `root`.
fn gather(root: &Path, name: &Path, depth: usize, files: &mut BTreeMap<PathBuf, &'static str>) -> Result<(), Failure> {
    let path = root.join(name);
    let Ok(about) = fs::symlink_metadata(&path) else {
        return Ok(());
    };
    if !about.is_dir() {
        if name.file_name().is_some_and(|name| name == LEFT_OUT) {
            return Ok(());
        }
        let kind = kind_of(name).ok_or_else(|| format!("{}: of which kind is this file?", name.display()))?;
        files.insert(name.to_owned(), kind);
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or("folders in folders in folders")?;
    for entry in fs::read_dir(&path)? {
        gather(root, &name.join(entry?.file_name()), depth, files)?;
    }
    Ok(())
}

/// Copies a file; gives whether it was there.
fn copy(from: &Path, to: &Path) -> io::Result<bool> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::copy(from, to) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
