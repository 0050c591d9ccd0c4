use std::sync::atomic::Ordering;

use super::writer::failing::Disk;
use super::*;
use crate::visible::{is_deceptive, naughty};

fn start(disk: &Disk, mode: Mode) -> Audit {
    Audit::start(disk.clone(), false, mode, Metrics::new().unwrap())
}

fn blocked(decision_id: &str) -> Record<'_> {
    Record::Response(Response {
        time: Timestamp::UNIX_EPOCH,
        decision_id,
        outcome: "blocked",
        masked_fields: 0,
        reason: Some("invalid_json"),
    })
}

/// The lines of the trail that are whole; a torn one is left out.
fn lines(disk: &Disk) -> Vec<serde_json::Value> {
    let bytes = disk.bytes.lock().clone();
    String::from_utf8(bytes).unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn required_answers_only_what_is_on_disk_and_resumes() {
    let disk = Disk::default();
    let audit = start(&disk, Mode::Required);
    assert_eq!(audit.record(&blocked("a")).await, Ok(()));
    disk.full.store(true, Ordering::SeqCst);
    assert_eq!(audit.record(&blocked("b")).await, Err(NotRecorded));
    disk.full.store(false, Ordering::SeqCst);
    disk.sync_fails.store(true, Ordering::SeqCst);
    assert_eq!(audit.record(&blocked("c")).await, Err(NotRecorded));
    disk.sync_fails.store(false, Ordering::SeqCst);
    assert_eq!(audit.record(&blocked("d")).await, Ok(()));
    let lines = lines(&disk);
    let last = lines.last().unwrap();
    assert_eq!(last["decision_id"], "d");
    assert!(lines.iter().any(|line| line["kind"] == "gap"), "{lines:?}");
}

#[tokio::test]
async fn best_effort_counts_what_it_loses_and_writes_a_gap_record() {
    let disk = Disk::default();
    let audit = start(&disk, Mode::BestEffort);
    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(audit.record(&blocked("lost")).await, Ok(()));
    }
    while !audit.metrics.render().contains("portcullis_audit_lost_total 3") {
        tokio::task::yield_now().await;
    }
    disk.full.store(false, Ordering::SeqCst);
    audit.record(&blocked("kept")).await.unwrap();
    audit.close().await;
    let lines = lines(&disk);
    // A line of a batch that failed may have reached the disk whole; it counts as lost all the same.
    let [.., gap, kept] = lines.as_slice() else { unreachable!("{lines:?}") };
    assert_eq!((&gap["kind"], &gap["lost"]), (&"gap".into(), &3.into()));
    assert_eq!((&kept["decision_id"], &kept["seq"]), (&"kept".into(), &2.into()));
}

#[tokio::test]
async fn whatever_a_caller_sends_is_one_record_to_every_reader() {
    let disk = Disk::default();
    let audit = start(&disk, Mode::BestEffort);
    let texts = naughty::strings();
    for text in &texts {
        audit.note(&blocked(text));
    }
    audit.close().await;
    let text = String::from_utf8(disk.bytes.lock().clone()).unwrap();
    // Some readers end a line at U+0085 or U+2028, and terminals obey more than ESC.
    assert!(!text.chars().any(|c| is_deceptive(c) && c != '\n'));
    let read = lines(&disk);
    assert_eq!((text.lines().count(), read.len()), (texts.len(), texts.len()));
    for (record, text) in read.iter().zip(&texts) {
        assert_eq!(record["decision_id"], text.as_str());
    }
}

/// Every line of the file is a record, whatever an earlier process left behind.
#[tokio::test]
async fn a_torn_end_is_closed_and_nothing_else_added() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { path: folder.path().join("audit.jsonl"), mode: Mode::Required };
    for torn in ["", "{\"kind\":\"deci"] {
        let before = std::fs::read_to_string(&config.path).unwrap_or_default();
        std::fs::write(&config.path, format!("{before}{torn}")).unwrap();
        for _ in 0..2 {
            let audit = Audit::open(&config, Metrics::new().unwrap()).unwrap();
            audit.record(&blocked("a")).await.unwrap();
            audit.close().await;
        }
        Audit::open(&config, Metrics::new().unwrap()).unwrap().close().await;
    }
    let text = std::fs::read_to_string(&config.path).unwrap();
    let whole = text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
    assert_eq!((text.lines().count(), whole.count()), (5, 4), "{text}");
}

/// A writer that hangs must not let lines pile up for ever.
#[test]
fn a_full_queue_loses_or_denies_and_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for mode in [Mode::BestEffort, Mode::Required] {
        let disk = Disk::default();
        let audit = start(&disk, mode);
        let stuck = disk.bytes.lock();
        let long = "x".repeat(1 << 20);
        for _ in 0..32 {
            audit.note(&blocked(&long));
        }
        let refused = runtime.block_on(audit.record(&blocked(&long)));
        assert_eq!(refused, if mode == Mode::Required { Err(NotRecorded) } else { Ok(()) });
        drop(stuck);
        runtime.block_on(audit.close());
        let lost = audit.lost.load(Ordering::Relaxed);
        let gap: u64 = lines(&disk).iter().filter_map(|line| line["lost"].as_u64()).sum();
        assert!(lost + gap > 0, "{mode:?}");
    }
}

#[test]
fn an_unwritable_path_is_named() {
    let config = Config { path: "/proc/nothing/audit.jsonl".into(), mode: Mode::Required };
    let error = Audit::open(&config, Metrics::new().unwrap()).unwrap_err();
    assert!(error.to_string().contains("/proc/nothing/audit.jsonl"), "{error}");
}
