//! `export` as people call it.

use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};

use super::{keeping::fill, *};

#[test]
fn an_export_holds_every_sample_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 5000);
    let export = |arguments: &[&str]| {
        let mut command = gander(directory.path());
        command.arg("export").args(arguments);
        run(&mut command)
    };
    let (well, nothing, said) = export(&["--from", "2d", "--out", "all.parquet"]);
    assert!(well && nothing.is_empty() && said == "5000 rows\n", "{said}");
    let file = fs::File::open(directory.path().join("all.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let mut last = 0;
    let mut rows = 0_u16;
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let moment = row.get_timestamp_millis(0).unwrap();
        assert!(moment > last);
        last = moment;
        assert_eq!(row.get_string(1).unwrap(), "web-1");
        assert_eq!(row.get_double(2).unwrap(), f64::from(rows % 500) / 10.0);
        rows += 1;
    }
    assert_eq!(rows, 5000);

    let (well, csv, said) = export(&["--format", "csv", "--server", "web-1", "--out", "-"]);
    assert!(well && said == "5000 rows\n", "{said}");
    assert_eq!(csv.lines().count(), 5001);
    let (well, _, said) = export(&["--out", "all.xlsx"]);
    assert!(well, "{said}");
    assert_eq!(&fs::read(directory.path().join("all.xlsx")).unwrap()[..2], b"PK");

    let (well, csv, said) = export(&[
        "--metrics",
        "cpu.usage,filesystem.usage",
        "--step",
        "1h",
        "--format",
        "csv",
        "--out",
        "-",
    ]);
    assert!(well, "{said}");
    let steps: Vec<&str> = csv
        .lines()
        .filter(|line| line.contains(",cpu.usage,,percent,"))
        .collect();
    assert!((2..=3).contains(&steps.len()), "{csv}");
    assert!(csv.contains(",filesystem.usage,/,percent,50,50,50"), "{csv}");

    let names: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("part"))
        .collect();
    assert_eq!(names, [""; 0]);
}

#[test]
fn a_wrong_wish_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 500);
    for (arguments, expected) in [
        (&["--out", "all.doc"][..], "--format xlsx, csv or parquet"),
        (
            &["--out", "a.csv", "--server", "web-2"],
            "there is no server web-2; there are web-1",
        ),
        (
            &["--out", "a.csv", "--from", "soon"],
            "--from is \"soon\"; it takes",
        ),
        (
            &["--out", "a.csv", "--from", "1d", "--to", "2d"],
            "nothing between them",
        ),
        (
            &["--out", "a.csv", "--metrics", "cpu"],
            "there is no metric \"cpu\"",
        ),
        (
            &["--out", "a.csv", "--metrics", "cpu.usage", "--step", "7s"],
            "--step is \"7s\"; it takes 1s",
        ),
        (&["--out", "/nowhere/a.csv"], "the export could not be written"),
    ] {
        let (well, _, said) = run(gander(directory.path()).arg("export").args(arguments));
        assert!(!well && said.contains(expected), "{arguments:?}: {said}");
    }
}
