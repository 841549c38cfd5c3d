//! Every request against a store that looks at signatures as Amazon's does: it puts the request together
//! anew from what arrived, hashes it with code of its own, and refuses what was signed and not sent.
//!
//! The rules: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusty_s3::S3Action;
use rusty_s3::actions::GetObject;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::backup::directory::hex;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// The address that Amazon's documentation signs with that key.
const PUBLISHED: &str = "https://examplebucket.s3.amazonaws.com/test.txt\
    ?X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

fn bucket(endpoint: &str, name: &str, path_style: bool) -> Bucket {
    // As the program does at its start; another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Bucket::new(&BucketConfig {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        bucket: name.to_owned(),
        prefix: "of the hub/ä+&=~(1)/".to_owned(),
        access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_key: Secret::new(SECRET.to_owned()),
        path_style,
    })
    .unwrap()
}

/// RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let hash = |pad: u8, message: &[u8]| {
        let padded = block.map(|byte| byte ^ pad);
        Sha256::new()
            .chain_update(padded)
            .chain_update(message)
            .finalize()
    };
    hash(0x5c, &hash(0x36, message)).into()
}

/// A request as it arrived.
struct Request {
    method: String,
    /// As sent, without the query.
    path: String,
    /// Pairs of the query as sent.
    query: Vec<String>,
    /// Their names in small letters.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn parse(head: &str, body: Vec<u8>) -> Self {
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let method = first.next().unwrap().to_owned();
        let (path, query) = first.next().unwrap().split_once('?').unwrap();
        let headers = lines.filter_map(|line| line.split_once(':'));
        Self {
            method,
            path: path.to_owned(),
            query: query.split('&').map(str::to_owned).collect(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body,
        }
    }

    /// A value of the query, decoded so far as these tests need it.
    fn value(&self, name: &str) -> Option<String> {
        let pair = self.query.iter().find_map(|pair| {
            let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
            (own == name).then_some(value)
        })?;
        Some(pair.replace("%2F", "/").replace("%3B", ";"))
    }

    /// The signature there must be; `None`: something was signed that was not sent.
    fn expected_signature(&self) -> Option<String> {
        let mut query: Vec<&str> = self.query.iter().map(String::as_str).collect();
        query.retain(|pair| !pair.starts_with("X-Amz-Signature="));
        query.sort_unstable();
        let signed = self.value("X-Amz-SignedHeaders")?;
        let mut headers = String::new();
        for name in signed.split(';') {
            headers += &format!("{name}:{}\n", self.headers.get(name)?);
        }
        let request = format!(
            "{}\n{}\n{}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD",
            self.method,
            self.path,
            query.join("&")
        );
        let credential = self.value("X-Amz-Credential")?;
        let (_, scope) = credential.split_once('/')?;
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
            self.value("X-Amz-Date")?,
            hex(&Sha256::digest(request))
        );
        let key = scope
            .split('/')
            .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
                hmac(&key, part.as_bytes()).to_vec()
            });
        Some(hex(&hmac(&key, to_sign.as_bytes())))
    }
}

/// Objects by path, and what was asked.
#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Vec<u8>>,
    parts: Vec<Vec<u8>>,
    asked: Vec<String>,
}

/// A store that keeps objects in memory and believes no signature; answers its address.
async fn store() -> (String, Arc<Mutex<Shelf>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let kept = Arc::clone(&shelf);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection, Arc::clone(&kept)));
        }
    });
    (address, shelf)
}

async fn serve(mut connection: TcpStream, shelf: Arc<Mutex<Shelf>>) {
    let mut bytes = Vec::new();
    let end = loop {
        if connection.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let body = bytes.split_off(end + 4);
    let mut request = Request::parse(std::str::from_utf8(&bytes[..end]).unwrap(), body);
    let length: usize = request
        .headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    while request.body.len() < length {
        connection.read_buf(&mut request.body).await.unwrap();
    }
    let (status, tag, length, body) = answer(&request, &mut shelf.lock().unwrap());
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"{tag}\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = connection.write_all(head.as_bytes()).await;
    let _ = connection.write_all(&body).await;
}

/// Status, tag, length and body.
fn answer(request: &Request, shelf: &mut Shelf) -> (&'static str, String, usize, Vec<u8>) {
    let said = |status, text: &str| (status, String::new(), text.len(), text.as_bytes().to_vec());
    let what = ["uploads", "partNumber", "uploadId", "list-type"];
    let what = what.into_iter().find(|name| request.value(name).is_some());
    shelf
        .asked
        .push(format!("{} {}", request.method, what.unwrap_or("object")));
    if request.expected_signature() != request.value("X-Amz-Signature") {
        return said(
            "403 Forbidden",
            "<Error><Code>SignatureDoesNotMatch</Code></Error>",
        );
    }
    let tag = |bytes: &[u8]| hex(&md5::Md5::digest(bytes));
    match (request.method.as_str(), what) {
        ("POST", Some("uploads")) => said("200 OK", "<r><UploadId>an upload/of+its=own</UploadId></r>"),
        ("PUT", Some("partNumber")) => {
            shelf.parts.push(request.body.clone());
            ("200 OK", tag(&request.body), 0, Vec::new())
        }
        ("POST", Some("uploadId")) => {
            let whole = std::mem::take(&mut shelf.parts).concat();
            shelf.objects.insert(request.path.clone(), whole);
            said("200 OK", "<r></r>")
        }
        ("PUT", None) => {
            shelf.objects.insert(request.path.clone(), request.body.clone());
            ("200 OK", tag(&request.body), 0, Vec::new())
        }
        ("DELETE", None) => {
            shelf.objects.remove(&request.path);
            said("204 No Content", "")
        }
        ("GET" | "HEAD", None) => match shelf.objects.get(&request.path) {
            Some(bytes) if request.method == "HEAD" => ("200 OK", tag(bytes), bytes.len(), Vec::new()),
            Some(bytes) => ("200 OK", tag(bytes), bytes.len(), bytes.clone()),
            None => said("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
        },
        ("GET", Some("list-type")) => said(
            "200 OK",
            "<ListBucketResult><Name>b</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1</MaxKeys>\
             <IsTruncated>false</IsTruncated></ListBucketResult>",
        ),
        _ => said("400 Bad Request", ""),
    }
}

#[test]
fn the_published_example_is_signed_as_published() {
    let bucket = bucket("https://s3.amazonaws.com", "examplebucket", false);
    let action = GetObject::new(&bucket.bucket, Some(&bucket.credentials), "test.txt");
    let at = "2013-05-24T00:00:00Z".parse().unwrap();
    let address = action.sign_with_time(Duration::from_secs(86_400), &at);
    assert_eq!(address.as_str(), PUBLISHED);
    // The store of these tests judges it as Amazon does.
    let (_, path) = PUBLISHED.split_once(".com").unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n");
    let request = Request::parse(&head, Vec::new());
    assert_eq!(request.expected_signature(), request.value("X-Amz-Signature"));
    let other = Request::parse(&head.replace("test.txt", "text.txt"), Vec::new());
    assert_ne!(other.expected_signature(), other.value("X-Amz-Signature"));
}

#[tokio::test]
async fn every_request_passes_a_store_that_looks_at_signatures() {
    let (address, shelf) = store().await;
    let bucket = bucket(&address, "backups", true);
    let directory = tempfile::tempdir().unwrap();
    let (small, large) = ("gander-20260102T030405Z.db", "gander-20260103T030405Z.db");
    for (name, bytes) in [(small, 1_000), (large, (8 << 20) + 1_000)] {
        let path = directory.path().join(name);
        let bytes: Vec<u8> = (0..bytes).map(|at: u32| (at % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let sha256 = hex(&Sha256::digest(&bytes));
        bucket.add(&path, name, &sha256).await.unwrap();
        let into = directory.path().join("fetched");
        let fetched = bucket.fetch(name, &into).await.unwrap();
        assert_eq!(std::fs::read(fetched).unwrap(), bytes);
    }
    bucket.list().await.unwrap();
    bucket.remove(small).await.unwrap();
    assert_eq!(
        shelf.lock().unwrap().objects.len(),
        2,
        "the large one and its note"
    );
    let mut asked = std::mem::take(&mut shelf.lock().unwrap().asked);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(
        asked,
        [
            "DELETE object",
            "GET list-type",
            "GET object",
            "HEAD object",
            "POST uploadId",
            "POST uploads",
            "PUT object",
            "PUT partNumber"
        ]
    );
}
