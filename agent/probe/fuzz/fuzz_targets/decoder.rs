//! Any stream, in pieces of any size: the decoder must not panic, nor keep more than its limits.
#![no_main]

use gander_probe::{Decoder, Limits, RawSample, wire::Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, stream) = input;
    let mut decoder = Decoder::new(Limits { max_poll_bytes: 4096, max_noise_bytes: 1024 });
    for piece in stream.chunks(usize::from(size) + 1) {
        if decoder.push(piece).is_err() {
            return;
        }
        while let Some(frame) = decoder.next() {
            if let Frame::Answer(answer) = frame {
                let _ = RawSample::parse(&answer);
            }
        }
    }
});
