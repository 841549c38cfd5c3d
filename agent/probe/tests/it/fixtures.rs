//! Golden results of every fixture (see `fixtures/README.md`).

use std::path::{Path, PathBuf};

use gander_probe::{Answer, Decoder, Differ, Frame, Limits, RawSample};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The fixture as it would come over the wire.
fn answer(path: &Path) -> Answer {
    let body = std::fs::read_to_string(path).unwrap();
    let stream = format!(
        "@gander hello 1 Linux\n@gander answer 1 {}\n{body}@gander end 1\n",
        body.len()
    );
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(stream.as_bytes()).unwrap();
    assert!(matches!(decoder.next(), Some(Frame::Hello(_))));
    match decoder.next() {
        Some(Frame::Answer(answer)) => answer,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn every_fixture_gives_its_golden_result() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".answer")?
                    .to_owned(),
            )
        })
        .filter(|name| !name.ends_with(".next"))
        .collect();
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let first = RawSample::parse(&answer(&folder().join(format!("{name}.answer"))));
        let next = folder().join(format!("{name}.next.answer"));
        let mut differ = Differ::new();
        let mut snapshot = differ.advance(first, 0);
        if next.exists() {
            // As a collector does: the later over the earlier.
            let faults = std::mem::take(&mut snapshot.faults);
            let next = differ.advance(RawSample::parse(&answer(&next)), 2000);
            assert_eq!(faults, next.faults, "{name}");
            snapshot.merge(next);
        }
        insta::assert_json_snapshot!(name.clone(), snapshot);
    }
}
