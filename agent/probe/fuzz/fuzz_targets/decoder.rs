//! Any stream, in pieces of any size: the decoder must not panic, nor keep more than its limits.
#![no_main]

use gander_probe::{Decoder, Limits, RawSample, wire::Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    for size in [1, 7, 4096] {
        let mut decoder = Decoder::new(Limits { max_poll_bytes: 4096, max_noise_bytes: 1024 });
        for piece in stream.chunks(size) {
            if decoder.push(piece).is_err() {
                break;
            }
            while let Some(frame) = decoder.next() {
                if let Frame::Answer(answer) = frame {
                    let _ = RawSample::parse(&answer);
                }
            }
        }
    }
});
