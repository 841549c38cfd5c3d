//! The fuzz targets' inputs, run as ordinary tests: the same functions as in `fuzz/`.

use std::path::Path;

use gander_probe::{Answer, Decoder, Differ, Frame, Limits, RawSample, Section};

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let inputs: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!inputs.is_empty(), "{}", folder.display());
    inputs
}

#[test]
fn the_decoder_survives_its_corpus() {
    let mut answers = 0;
    for input in inputs("decoder") {
        for size in [1, 7, 4096] {
            let mut decoder = Decoder::new(Limits {
                max_poll_bytes: 4096,
                max_noise_bytes: 1024,
            });
            for piece in input.chunks(size) {
                if decoder.push(piece).is_err() {
                    break;
                }
                while let Some(frame) = decoder.next() {
                    answers += usize::from(matches!(frame, Frame::Answer(_)));
                }
            }
        }
    }
    assert!(answers > 0, "no input of the corpus holds an answer");
}

#[test]
fn the_parsers_survive_their_corpus() {
    for input in inputs("parse") {
        let text = String::from_utf8_lossy(&input);
        let mut answer = Answer::default();
        for part in text.split('\u{1}') {
            let (name, text) = part.split_once('\n').unwrap_or((part, ""));
            answer.sections.push(Section {
                name: name.to_owned(),
                text: text.to_owned(),
            });
        }
        let sample = RawSample::parse(&answer);
        let mut differ = Differ::new();
        differ.advance(sample.clone(), 0);
        differ.advance(sample, 1000);
    }
}
