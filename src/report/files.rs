//! Files that are never half there: written aside, summed while they are written, and moved into place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::SpooledTempFile;

use crate::file_mode::{FileMode, sync_dir};
use crate::runs::{STAGING, SUMS, not_made_by_a_run};
use crate::sha256::Sha256;
use crate::text::hex;
use crate::threads::lock;

/// Up to this many bytes of a spool wait in memory, more in a file: a report has some ten of them.
const SPOOL: usize = 256 * 1024;
/// What is read at once of what waits in a file, in bytes.
const READ: usize = 256 * 1024;

/// The files that are done, by their names, with their checksums; formats end theirs on threads of their own.
#[derive(Debug, Clone, Default)]
struct Done(Arc<Mutex<BTreeMap<String, DoneFile>>>);

#[derive(Debug)]
struct DoneFile {
    sha256: String,
    /// What is not yet on the disk; `None` where it is in its place already.
    file: Option<File>,
}

impl Done {
    fn note(&self, name: String, sha256: String, file: Option<File>) {
        lock(&self.0).insert(name, DoneFile { sha256, file });
    }

    fn take(&self) -> BTreeMap<String, DoneFile> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// A folder beside the files' place, in which they are written.
#[derive(Debug)]
pub struct Staging {
    place: PathBuf,
    aside: PathBuf,
    mode: FileMode,
    done: Done,
    /// Whether a file may be in its place already.
    is_moving: AtomicBool,
}

impl Staging {
    /// Prepares to write files with these names into a folder that is there.
    ///
    /// # Errors
    /// The folder cannot be written to, or what stands aside in it is somebody else's.
    pub fn new(place: &Path, mode: FileMode, names: &[&str]) -> io::Result<Self> {
        let aside = place.join(STAGING);
        remove_leftovers(&aside, names)?;
        mode.create_dir(&aside)?;
        Ok(Self {
            place: place.to_owned(),
            aside,
            mode,
            done: Done::default(),
            is_moving: AtomicBool::new(false),
        })
    }

    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn file(&self, name: &str) -> io::Result<StagedFile> {
        let file = self.mode.create_file(&self.aside.join(name))?;
        Ok(StagedFile {
            name: name.to_owned(),
            file,
            digest: Sha256::default(),
            done: self.done.clone(),
        })
    }

    /// A file for what has to wait for others, beside them: it needs no other place on the disk to be there.
    pub fn spool(&self) -> SpooledTempFile {
        tempfile::spooled_tempfile_in(SPOOL, &self.aside)
    }

    /// The folder itself, for files without a name.
    pub fn folder(&self) -> &Path {
        &self.aside
    }

    /// Adds the checksum of a file that is in its place already.
    pub fn add_sum(&self, name: &str, sha256: String) {
        self.done.note(name.to_owned(), sha256, None);
    }

    /// Adds a file that is written already, with its checksum: it goes into its place with the others, where it does not
    /// are there.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn adopt(&self, path: &Path, name: &str, sha256: String) -> io::Result<()> {
        if path.canonicalize()? != self.place.canonicalize()?.join(name) {
            fs::rename(path, self.aside.join(name))?;
        }
        self.add_sum(name, sha256);
        Ok(())
    }

    /// Brings every file to the disk and moves it into its place, and last the list of their checksums. Of the `names`
    /// that a report may leave, those that this one did not write are removed where an earlier one made them; nothing
    /// else is.
    ///
    /// # Errors
    /// The disk is full, say, or a file cannot be moved.
    pub fn publish<'n>(&self, names: impl Iterator<Item = &'n str>) -> io::Result<()> {
        let done = self.done.take();
        let mut list = self.file(SUMS)?;
        let sums = done
            .iter()
            .map(|(name, file)| format!("{}  {name}\n", file.sha256));
        list.write_all(sums.collect::<String>().as_bytes())?;
        let files = done.values().filter_map(|done| done.file.as_ref());
        sync_all(files.chain([&list.file]))?;
        let mut published = lock(&PUBLISHED);
        self.is_moving.store(true, Ordering::Relaxed);
        let stale: Vec<_> = names.filter(|name| !done.contains_key(*name)).collect();
        let others = not_made_by_a_run(&self.place, stale.iter().copied())?;
        let mut removed = Vec::new();
        for name in stale.iter().filter(|name| !others.contains(name)) {
            match fs::remove_file(self.place.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(()) => removed.push(*name),
            }
        }
        if !removed.is_empty() {
            tracing::warn!(
                "removed {} of an earlier report from {}: this one was not asked for them; --format writes them again",
                removed.join(", "),
                self.place.display()
            );
        }
        for name in done.keys().map(String::as_str).chain([SUMS]) {
            let aside = self.aside.join(name);
            if aside.exists() {
                fs::rename(aside, self.place.join(name))?;
            }
        }
        fs::remove_dir_all(&self.aside)?;
        sync_dir(&self.place)?;
        *published += 1;
        Ok(())
    }

    /// Gives up what was written. Where some of it is in its place, the list of its checksums stays beside it: it says what
    /// the next report may overwrite.
    pub fn discard(self) {
        if self.is_moving.load(Ordering::Relaxed) {
            tracing::warn!(
                "the files in {} are of two reports: run the same command again",
                self.place.display()
            );
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.aside)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.aside.display(), "cannot remove what was written aside: {error}");
        }
    }
}

/// Removes what a run left that was killed while it wrote: nothing in it is whole. What no run made is not touched.
fn remove_leftovers(aside: &Path, names: &[&str]) -> io::Result<()> {
    let kind = match fs::symlink_metadata(aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    let others = |what: &Path| {
        let what = what.display();
        io::Error::other(format!("{what} was not written by a run: move it away"))
    };
    if !kind.is_dir() {
        return Err(others(aside));
    }
    for entry in fs::read_dir(aside)? {
        let entry = entry?;
        let is_ours = |name: &str| names.contains(&name);
        if !entry.file_type()?.is_file() || !entry.file_name().to_str().is_some_and(is_ours) {
            return Err(others(&entry.path()));
        }
    }
    fs::remove_dir_all(aside)
}

/// How many reports this process has moved into their places. Held while one is: who ends the program waits for it.
static PUBLISHED: Mutex<usize> = Mutex::new(0);

/// Removes what is being written aside in a folder, where the program ends before it is whole; how many reports were
/// moved into their places before. None is from now on.
pub fn give_up(place: &Path) -> usize {
    let published = lock(&PUBLISHED);
    let before = *published;
    // Never released: whoever still writes waits until the program has ended.
    std::mem::forget(published);
    // They make no file any more once the folder is gone; a next run removes what is left.
    let _ = fs::remove_dir_all(place.join(STAGING));
    before
}

/// A file being written aside.
#[derive(Debug)]
pub struct StagedFile {
    name: String,
    file: File,
    digest: Sha256,
    done: Done,
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StagedFile {
    /// Ends the file: its checksum is noted. It is brought to the disk with all others before they are published.
    pub fn finish(self) {
        let sha256 = hex(&self.digest.finish());
        self.done.note(self.name, sha256, Some(self.file));
    }
}

/// Brings files to the disk, all at once: each by itself would wait for its own turn of the disk.
fn sync_all<'f>(files: impl Iterator<Item = &'f File>) -> io::Result<()> {
    thread::scope(|scope| {
        let mut syncing = Vec::new();
        for file in files {
            let sync = || file.sync_data();
            match thread::Builder::new().spawn_scoped(scope, sync) {
                Ok(thread) => syncing.push(thread),
                Err(_) => file.sync_data()?,
            }
        }
        syncing.into_iter().try_for_each(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// Appends what waits, and empties it.
///
/// # Errors
/// Writing fails.
pub fn append(to: &Mutex<impl Write>, waiting: &mut Vec<u8>) -> io::Result<()> {
    if !waiting.is_empty() {
        lock(to).write_all(waiting)?;
        waiting.clear();
    }
    Ok(())
}

/// Appends what was spooled to a file.
///
/// # Errors
/// Reading or writing fails.
pub fn append_spool(spool: &mut (impl Read + Seek), file: &mut impl Write) -> io::Result<()> {
    spool.rewind()?;
    append_rest(spool, file)
}

/// Appends what is left to read.
///
/// # Errors
/// Reading or writing fails.
pub fn append_rest(spool: &mut impl Read, file: &mut impl Write) -> io::Result<()> {
    let mut bytes = vec![0; READ];
    loop {
        match spool.read(&mut bytes)? {
            0 => return Ok(()),
            read => file.write_all(&bytes[..read])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_no_run_made_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let aside = dir.path().join(STAGING);
        let staging = || Staging::new(dir.path(), FileMode::default(), &["a.csv"]);
        staging().unwrap().file("a.csv").unwrap();
        staging().unwrap();
        assert!(!aside.join("a.csv").exists());
        fs::write(aside.join("own.txt"), "the user's own").unwrap();
        let said = staging().unwrap_err().to_string();
        assert!(said.contains("own.txt was not written by a run"), "{said}");
        assert!(aside.join("own.txt").exists());
        fs::remove_dir_all(&aside).unwrap();
        fs::write(&aside, "the user's own").unwrap();
        assert!(staging().is_err() && aside.exists());
    }

    #[test]
    fn files_appear_together_with_their_sums_and_stale_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("old.csv", "old"),
            ("mine.csv", "the user's own"),
            ("changed.csv", "changed by the user"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let sum = |text: &str| crate::text::sha256_hex(text.as_bytes());
        let before = format!(
            "{}  old.csv\n{}  changed.csv\n",
            sum("old"),
            sum("as it was")
        );
        fs::write(dir.path().join(SUMS), before).unwrap();
        fs::write(dir.path().join("notes.txt"), "the user's own").unwrap();
        let staging = Staging::new(dir.path(), FileMode::default(), &[]).unwrap();
        let mut file = staging.file("a.csv").unwrap();
        file.write_all(b"abc").unwrap();
        assert!(!dir.path().join("a.csv").exists());
        file.finish();
        let names = ["a.csv", "old.csv", "mine.csv", "changed.csv"];
        staging.publish(names.into_iter()).unwrap();
        let sums = fs::read_to_string(dir.path().join(SUMS)).unwrap();
        assert_eq!(
            sums,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.csv\n"
        );
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        let left = [
            "SHA256SUMS",
            "a.csv",
            "changed.csv",
            "mine.csv",
            "notes.txt",
        ];
        assert_eq!(names, left);
    }
}
