//! The one thread that writes the trail: batches of lines, one sync for all that wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::queue::{Batch, Queue};
use super::{Mode, NotRecorded};
use crate::metrics::Metrics;

/// How long `best_effort` lets records gather: one wake-up of this thread for all of them instead of one for each.
const GATHER: Duration = Duration::from_millis(5);

/// The file, and whether it ends in half a line: an earlier process was killed while it wrote.
pub(super) fn open(path: &Path) -> io::Result<(File, bool)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok((file, last != *b"\n"))
}

pub(super) fn start(
    file: impl Sink + 'static,
    torn: bool,
    mode: Mode,
    queue: Arc<Queue>,
    lost: Arc<AtomicU64>,
    metrics: Metrics,
    written: watch::Sender<()>,
) {
    let mut writer = Writer { sink: file, mode, lost, metrics, written, sequence: 0, torn, out: Vec::new() };
    std::thread::spawn(move || writer.run(&queue));
}

/// Where lines go: a file, or a test's failing disk.
pub(super) trait Sink: Write + Send {
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

struct Writer<S> {
    sink: S,
    mode: Mode,
    /// Records lost since the last gap record.
    lost: Arc<AtomicU64>,
    metrics: Metrics,
    /// Is told of every batch that was written.
    written: watch::Sender<()>,
    sequence: u64,
    /// What is written at once; kept for its memory.
    out: Vec<u8>,
    /// The file may end in half a line: after a crash of an earlier process, or a write that failed.
    torn: bool,
}

impl<S: Sink> Writer<S> {
    fn run(&mut self, queue: &Queue) {
        let mut batch = Batch::default();
        loop {
            queue.take(&mut batch);
            self.write(&mut batch);
            if let Some(done) = batch.closing.take() {
                done.send(()).ok();
                return;
            }
            if self.mode == Mode::BestEffort {
                std::thread::sleep(GATHER);
            }
        }
    }

    fn write(&mut self, batch: &mut Batch) {
        let gap = self.lost.swap(0, Ordering::Relaxed);
        let result = self.try_write(batch, gap);
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        match &result {
            Ok(()) => {
                self.metrics.audit_written(count);
                self.written.send_replace(());
            }
            Err(error) => {
                tracing::error!(%error, records = count, "audit records could not be written");
                self.torn = true;
                self.lost.fetch_add(gap + count, Ordering::Relaxed);
                self.metrics.audit_lost(count);
            }
        }
        for done in batch.waiting.drain(..) {
            done.send(if result.is_ok() { Ok(()) } else { Err(NotRecorded) }).ok();
        }
    }

    fn try_write(&mut self, batch: &Batch, gap: u64) -> io::Result<()> {
        if batch.is_empty() && gap == 0 {
            return self.sink.sync();
        }
        self.out.clear();
        let mut sequence = self.sequence;
        if self.torn {
            self.out.push(b'\n');
        }
        if gap > 0 {
            let gap = format!(r#"{{"kind":"gap","lost":{gap}}}"#);
            push_line(&mut self.out, &mut sequence, gap.as_bytes())?;
        }
        for line in batch.lines() {
            push_line(&mut self.out, &mut sequence, line)?;
        }
        self.sink.write_all(&self.out)?;
        if self.mode == Mode::Required || batch.closing.is_some() {
            self.sink.sync()?;
        }
        self.sequence = sequence;
        self.torn = false;
        Ok(())
    }
}

/// Appends `line`, a JSON object, with its sequence number in front of the other fields.
fn push_line(out: &mut Vec<u8>, sequence: &mut u64, line: &[u8]) -> io::Result<()> {
    *sequence += 1;
    write!(out, r#"{{"seq":{sequence},"#)?;
    out.extend_from_slice(line.strip_prefix(b"{").unwrap_or(line));
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
pub(super) mod failing {
    //! A disk that fails on command.

    use std::io::{self, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use parking_lot::Mutex;

    #[derive(Clone, Default)]
    pub struct Disk {
        pub bytes: Arc<Mutex<Vec<u8>>>,
        pub full: Arc<AtomicBool>,
        pub sync_fails: Arc<AtomicBool>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full.load(Ordering::SeqCst) {
                // A full disk takes half of the line first.
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                self.bytes.lock().extend_from_slice(half);
                return Err(io::Error::other("no space left on device"));
            }
            self.bytes.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl super::Sink for Disk {
        fn sync(&mut self) -> io::Result<()> {
            if self.sync_fails.load(Ordering::SeqCst) { Err(io::Error::other("EIO")) } else { Ok(()) }
        }
    }
}
