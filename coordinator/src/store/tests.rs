use super::*;
use bytes::Bytes;
use futures::stream;
use pleach_shared::task::{BlobId, TaskKey};

fn result(outcome: &str) -> StoredResult {
    StoredResult {
        outcome: outcome.into(),
        task: b"{}".to_vec(),
        worker: "w1".into(),
        kind: "flex".into(),
        attempt: 2,
        seconds: 1.5,
        finished_unix: 1_700_000_000,
    }
}

fn row(id: &str) -> ExperimentRow {
    ExperimentRow {
        id: id.into(),
        name: "demo".into(),
        sequence: 0,
        document: "name: demo\n".into(),
        submission: b"{\"a\":1}".to_vec(),
        state: ExperimentState::Queued,
        submitted_unix: 1,
        error: None,
        summary: Vec::new(),
        model: None,
    }
}

#[tokio::test]
async fn the_memo_survives_a_restart_and_the_first_result_wins() {
    let dir = tempfile::tempdir().unwrap();
    let key = TaskKey::of(b"task");
    {
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.result(&key), Ok(None));
        assert_eq!(store.commit(key, result("1")).await, Ok(Committed::First));
        assert_eq!(store.commit(key, result("2")).await, Ok(Committed::AlreadyThere));
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.result(&key), Ok(Some(result("1"))));
    store.forget(key).await.unwrap();
    assert_eq!(store.result(&key), Ok(None));
}

#[tokio::test]
async fn many_results_at_once_are_all_kept_and_a_bad_one_hurts_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = |n: u32| TaskKey::of(&n.to_le_bytes());
    // Half of the keys twice, all handed in before the first answer: they share transactions.
    let commits: Vec<_> = (0..200).map(|n| store.commit(key(n / 2), result(&n.to_string()))).collect();
    let bad = store.commit(key(999), StoredResult { outcome: vec![0xff], ..result("") });
    for (n, commit) in commits.into_iter().enumerate() {
        assert_eq!(commit.await, Ok(if n % 2 == 0 { Committed::First } else { Committed::AlreadyThere }));
    }
    assert!(bad.await.unwrap_err().to_string().contains("unreadable"));
    assert_eq!(store.result(&key(7)), Ok(Some(result("14"))));
}

#[tokio::test]
async fn what_was_handed_in_is_written_even_if_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let key = TaskKey::of(b"task");
    drop(Store::open(dir.path()).unwrap().commit(key, result("1")));
    assert_eq!(Store::open(dir.path()).unwrap().result(&key), Ok(Some(result("1"))));
}

#[tokio::test]
async fn experiments_are_found_by_the_start_of_their_id_and_listed_as_submitted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for id in ["demo-99", "demo-12345678", "demo-1299"] {
        store.put_experiment(row(id)).await.unwrap();
    }
    let ids = |store: &Store| store.experiments().unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&store), ["demo-99", "demo-12345678", "demo-1299"]);
    assert_eq!(store.experiment("demo-123").unwrap().id, "demo-12345678");
    assert_eq!(store.experiment("demo-99").unwrap().id, "demo-99");
    assert_eq!(store.experiment("demo-12").unwrap_err().to_string(), "`demo-12` could be demo-12345678 or demo-1299; give more of the id");
    for nothing in ["nope", ""] {
        assert!(store.experiment(nothing).unwrap_err().to_string().contains("`pleach ls` lists them"));
    }

    let model = BlobId::of(b"model");
    store.update_experiment("demo-99", move |row| (row.state, row.model) = (ExperimentState::Finished, Some(model))).await.unwrap();
    // Submitted again: same place, same time, and the model is not lost.
    let again = store.put_experiment(ExperimentRow { submitted_unix: 9, ..row("demo-99") }).await.unwrap();
    assert_eq!((again.sequence, again.submitted_unix, again.model), (0, 1, Some(model)));
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(ids(&store), ["demo-99", "demo-12345678", "demo-1299"]);
    assert_eq!(store.experiment("demo-99").unwrap(), again);
}

#[test]
fn a_data_dir_has_one_coordinator_and_the_second_is_told_which() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path()).unwrap();
    first.announce("127.0.0.1:7420").unwrap();
    let error = Store::open(dir.path()).map(drop).unwrap_err().to_string();
    let (shown, pid) = (dir.path().display(), std::process::id());
    assert_eq!(
        error,
        format!(
            "data dir {shown} is in use by another coordinator (process {pid}, at 127.0.0.1:7420); stop it, or give another --data-dir"
        )
    );
    drop(first);
    Store::open(dir.path()).unwrap();
}

/// What the other process of the next test does: nothing, unless it is one.
#[test]
fn another_process_opens_the_data_dir() {
    let Some(dir) = std::env::var_os("PLEACH_TEST_OTHER_PROCESS") else { return };
    let error = Store::open(Path::new(&dir)).map(drop).unwrap_err();
    std::fs::write(Path::new(&dir).join("answer"), error.to_string()).unwrap();
}

#[test]
fn a_data_dir_is_locked_across_processes() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path()).unwrap();
    let mut other = std::process::Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "store::tests::another_process_opens_the_data_dir"]).env("PLEACH_TEST_OTHER_PROCESS", dir.path());
    assert!(other.output().unwrap().status.success());
    let answer = std::fs::read_to_string(dir.path().join("answer")).unwrap();
    assert!(answer.contains(&format!("in use by another coordinator (process {})", std::process::id())), "{answer}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pleach.redb");
    let fails = || Store::open(dir.path()).map(drop).unwrap_err().to_string();
    for garbage in [vec![7; 10], b"not a database".repeat(1000)] {
        std::fs::write(&path, garbage).unwrap();
        assert!(fails().contains("is damaged or not Pleach's"), "{}", fails());
    }

    std::fs::remove_file(&path).unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 0..100u32 {
        store.commit(TaskKey::of(&n.to_le_bytes()), result("1")).await.unwrap();
    }
    drop(store);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(fails().contains("restore it from a backup"), "{}", fails());
}

#[test]
fn a_newer_schema_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    {
        let database = Database::create(dir.path().join("pleach.redb")).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(META).unwrap().insert("schema", SCHEMA + 1).unwrap();
        write.commit().unwrap();
    }
    let error = Store::open(dir.path()).map(drop).unwrap_err().to_string();
    assert!(error.contains("written by a newer Pleach (schema 2, this one knows 1)"), "{error}");
}

#[tokio::test]
async fn blobs_are_what_their_ids_say() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let blobs = store.blobs();
    let id = blobs.put(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(id, BlobId::of(b"hello"));
    assert_eq!(blobs.get(&id).await.unwrap(), "hello");
    let missing = BlobId::of(b"missing");
    assert_eq!(blobs.have(&[missing, id]).await.unwrap(), [id]);
    assert_eq!(blobs.get(&missing).await, Err(StoreError::NoBlob(missing)));

    let path = dir.path().join("blobs").join(&id.to_string()[..2]).join(id.to_string());
    std::fs::write(&path, b"jello").unwrap();
    let error = blobs.get(&id).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("blob {id} is damaged on disk")), "{error}");
}

#[tokio::test]
async fn a_streamed_blob_is_stored_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let chunk = Bytes::from(vec![3u8; 1 << 20]);
    let chunks = (0..12).map(|_| Ok::<_, String>(chunk.clone()));
    let id = store.blobs().put_stream(stream::iter(chunks.clone())).await.unwrap();
    assert_eq!(id, BlobId::of(&vec![3u8; 12 << 20]));
    assert_eq!(store.blobs().get(&id).await.unwrap().len(), 12 << 20);
    // Again, and once more with a broken end.
    assert_eq!(store.blobs().put_stream(stream::iter(chunks.clone())).await.unwrap(), id);
    let broken = chunks.take(7).chain([Err("connection reset".to_owned())]);
    let error = store.blobs().put_stream(stream::iter(broken)).await.unwrap_err();
    assert_eq!(error.to_string(), "the blob did not arrive whole: connection reset");
    let left = std::fs::read_dir(dir.path().join("blobs/incoming")).map_or(0, |files| files.count());
    assert_eq!(left, 0);
    // An empty blob is a blob.
    let empty = store.blobs().put_stream(stream::iter([] as [Result<Bytes, String>; 0])).await.unwrap();
    assert_eq!(store.blobs().get(&empty).await.unwrap(), "");
}
