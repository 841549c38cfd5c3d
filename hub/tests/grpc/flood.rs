//! Peers that abuse HTTP/2 itself, frame by frame: calls taken back at once, headers without end, pings
//! and settings whose answers nobody reads, more calls than are allowed, requests that never end. None of
//! them costs the hub more than their own connection, and whoever streams beside them notices nothing.

use std::time::Duration;

use gander_proto::v1;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tonic::Code;

use crate::{
    agent::{Agent, Hub, Identity, dial, machine},
    support::values,
};

// Kinds of frames, by RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const CANCEL: u32 = 8;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// More than the sockets of both sides hold together, and less than would be minutes of work.
const FLOOD_BYTES: usize = 48 << 20;
/// A peer that takes nothing for so long takes nothing any more.
const STALLED: Duration = Duration::from_secs(3);
/// How long the hub may take to end a connection.
const PATIENCE: Duration = Duration::from_secs(30);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Headers of a gRPC call, in HPACK without compression.
fn call(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x87];
    let text = |text: &str, block: &mut Vec<u8>| {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.as_bytes());
    };
    // Names 4 and 1 of the static table: `:path` and `:authority`.
    for (index, value) in [(4, path), (1, "gander-hub")] {
        block.push(index);
        text(value, &mut block);
    }
    let always = [("content-type", "application/grpc"), ("te", "trailers")];
    for (name, value) in always.iter().chain(more) {
        block.push(0);
        text(name, &mut block);
        text(value, &mut block);
    }
    block
}

/// A connection on which HTTP/2 has begun.
async fn begin(hub: &Hub, identity: Option<&Identity>) -> TlsStream<TcpStream> {
    let mut stream = dial(hub.address, hub.authority.certificate(), identity)
        .await
        .unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
    stream
}

/// The next frame: kind, stream and payload. `None`: the connection has ended.
async fn next(stream: &mut TlsStream<TcpStream>) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((
        head[3],
        u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload,
    ))
}

/// The reason the hub gives for ending the connection; 0 where it just ends.
async fn goaway(stream: &mut TlsStream<TcpStream>) -> u32 {
    let read = async {
        while let Some((kind, _, payload)) = next(stream).await {
            if kind == GOAWAY {
                return u32::from_be_bytes(payload[4..8].try_into().unwrap());
            }
        }
        0
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the connection is ended")
}

/// Writes the same frames again and again until nothing more is taken. Answers how many bytes were.
async fn flood(stream: &mut TlsStream<TcpStream>, frames: &[u8]) -> usize {
    let mut taken = 0;
    while taken < FLOOD_BYTES {
        match tokio::time::timeout(STALLED, stream.write_all(frames)).await {
            Ok(Ok(())) => taken += frames.len(),
            // Ended by the hub, or stalled.
            Ok(Err(_)) | Err(_) => return taken,
        }
    }
    taken
}

/// An agent's batches are stored and acknowledged.
async fn serves(agent: &mut Agent) {
    for n in 0..3 {
        let batch = [(agent.now_ms() - n, values(100, 500))];
        agent.send(&batch, None).await;
        agent.acknowledged().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_taken_back_at_once_end_the_connection() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let mut stream = begin(&hub, None).await;
    let headers = call("/gander.v1.AgentService/Enroll", &[]);
    let mut frames = Vec::new();
    for number in 0..2_000 {
        frames.extend(frame(HEADERS, END_HEADERS, number * 2 + 1, &headers));
        frames.extend(frame(RST_STREAM, 0, number * 2 + 1, &CANCEL.to_be_bytes()));
    }
    // May fail in the middle: the hub has had enough by then.
    let _ = stream.write_all(&frames).await;
    let reason = goaway(&mut stream).await;
    assert!([0, ENHANCE_YOUR_CALM].contains(&reason), "{reason}");
    serves(&mut agent).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_end_the_connection() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let mut stream = begin(&hub, None).await;
    let headers = call("/gander.v1.AgentService/Enroll", &[]);
    stream.write_all(&frame(HEADERS, 0, 1, &headers)).await.unwrap();
    let field = [b"\0\x06x-more\x64".as_slice(), &[b'x'; 100]].concat();
    let more = frame(CONTINUATION, 0, 1, &field);
    let taken = flood(&mut stream, &more).await;
    assert!(taken < FLOOD_BYTES, "all of it was taken");
    goaway(&mut stream).await;
    serves(&mut agent).await;
    hub.stop().await;
}

/// Who asks and does not read the answers is not listened to any more: answers do not pile up in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_whose_answers_nobody_reads_are_not_taken_for_ever() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    for flooding in [
        frame(PING, 0, 0, &[7; 8]).repeat(1_000),
        frame(SETTINGS, 0, 0, &[]).repeat(1_000),
    ] {
        let mut stream = begin(&hub, None).await;
        let taken = flood(&mut stream, &flooding).await;
        assert!(taken < FLOOD_BYTES, "all of it was taken");
        serves(&mut agent).await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_frames_on_a_stream_that_is_open_hold_up_nobody_else() {
    let hub = Hub::start().await;
    let token = hub.token(2).await;
    let (flooder, _) = hub.enrol(&token, machine(1)).await;
    let (other, _) = hub.enrol(&token, machine(2)).await;
    let (mut agent, _) = Agent::start(&hub, &other).await;
    let mut stream = begin(&hub, Some(&flooder)).await;
    let headers = call("/gander.v1.AgentService/Report", &[]);
    stream
        .write_all(&frame(HEADERS, END_HEADERS, 1, &headers))
        .await
        .unwrap();
    let flooding = tokio::spawn(async move {
        let empty = frame(DATA, 0, 1, &[]).repeat(1_000);
        while stream.write_all(&empty).await.is_ok() {}
    });
    serves(&mut agent).await;
    flooding.abort();
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_has_so_many_calls_at_a_time() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let mut stream = begin(&hub, None).await;
    let headers = call("/gander.v1.AgentService/Enroll", &[]);
    for number in 0..200 {
        stream
            .write_all(&frame(HEADERS, END_HEADERS, number * 2 + 1, &headers))
            .await
            .unwrap();
    }
    let refused = async {
        loop {
            let (kind, number, payload) = next(&mut stream).await.expect("the connection stays");
            if kind == RST_STREAM {
                return (number, payload);
            }
        }
    };
    let (number, reason) = tokio::time::timeout(PATIENCE, refused).await.expect("a refusal");
    assert_eq!(
        (number, reason),
        (64 * 2 + 1, REFUSED_STREAM.to_be_bytes().to_vec())
    );
    serves(&mut agent).await;
    hub.stop().await;
}

/// A request that never ends is given up when its caller's own deadline has passed (and the hub's, after
/// half a minute).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_ends_is_given_up() {
    let hub = Hub::start().await;
    let mut stream = begin(&hub, None).await;
    let headers = call("/gander.v1.AgentService/Enroll", &[("grpc-timeout", "300m")]);
    stream
        .write_all(&frame(HEADERS, END_HEADERS, 1, &headers))
        .await
        .unwrap();
    let answered = async {
        loop {
            let (kind, number, _) = next(&mut stream).await.expect("the connection stays");
            if kind == HEADERS && number == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("an answer");
    hub.stop().await;
}

/// What comes unpacked from a small message may be no larger than any other message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_unpacks_to_too_much_is_refused() {
    let (hub, identity, _) = Hub::with_agent().await;
    let channel = hub.connect(Some(&identity)).await.unwrap();
    let mut client = v1::agent_service_client::AgentServiceClient::new(channel)
        .send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let request = v1::EnrollRequest {
        token: "0".repeat(2 << 20),
        csr_der: Vec::new(),
        machine: None,
    };
    let refused = client.enroll(request).await.unwrap_err();
    assert!(
        [Code::OutOfRange, Code::ResourceExhausted].contains(&refused.code()),
        "{refused}"
    );
    hub.stop().await;
}
