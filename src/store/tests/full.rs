//! A disk without room, as a limit of a file's size: what the store says, and what is there afterwards.

use super::bodies::with_body;
use super::*;

/// Blocks of 512 bytes (1,024 in some shells) that a file of the child may have.
const ROOM: &str = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"";

/// Not a test of its own: the process that `a_full_disk_...` starts.
#[tokio::test]
async fn child_whose_disk_is_full() {
    let Ok(place) = std::env::var(CHILD_PATH) else { return };
    let store = Store::connect(&said(&place), DEFAULT_RETENTION, Clock::system()).await.unwrap();
    let open =
        async |n: usize| store.open_approval(with_body(&store, &format!("d{n}"), 100_000), LIMITS).await;
    for n in 0.. {
        match open(n).await {
            Ok(opened) => println!("kept {}", created(opened).id),
            Err(refused) => {
                println!("refused {refused}");
                break;
            }
        }
    }
    let again = open(0).await.expect("the same call finds its request");
    assert!(matches!(again, Opened::Attached(_)));
    assert!(open(1_000_000).await.is_err(), "a new one is refused");
    let listed = store.approvals(Filter { limit: 1, ..Filter::default() }).await.unwrap();
    assert_eq!(listed.approvals.len(), 1);
    println!("still reads");
}

#[tokio::test]
async fn a_full_disk_refuses_new_requests_and_loses_none_that_was_acknowledged() {
    let place = Place::sqlite();
    let (_, module) = module_path!().split_once("::").unwrap();
    let child = Command::new("sh")
        .args(["-c", ROOM])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::child_whose_disk_is_full"), "--nocapture"])
        .env(CHILD_PATH, place.say())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("refused") && said.contains("still reads"), "{child:?}");
    let kept: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once("kept ")?.1)).collect();
    assert!(!kept.is_empty(), "{said}");
    let store = place.open(Clock::system()).await;
    for id in kept {
        assert!(!store.approval(id).await.unwrap().unwrap().call.body.is_empty(), "{id}");
    }
    created(store.open_approval(with_body(&store, "there is room", 100_000), LIMITS).await.unwrap());
}
