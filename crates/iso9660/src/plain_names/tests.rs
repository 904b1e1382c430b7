//! Names as genisoimage makes them, where its options are meant.

use super::*;
use crate::options::Level;

fn rules(level: Level) -> PlainRules {
    PlainRules {
        directory_extension: true,
        ..PlainRules::of_level(level)
    }
}

fn with(rules: PlainRules, name: &str, is_dir: bool) -> String {
    let ids = Translator::new(rules, true).identifiers(&[(name.as_bytes(), is_dir)]);
    String::from_utf8(ids[0].to_vec()).unwrap()
}

fn one(name: &str, is_dir: bool, level: Level) -> String {
    with(PlainRules::of_level(level), name, is_dir)
}

#[test]
fn names_become_what_each_level_allows() {
    for (name, expected) in [
        ("user-data", "USER_DAT.;1"),
        ("meta-data", "META_DAT.;1"),
        ("network-config", "NETWORK_.;1"),
        ("a.tar.gz", "A.TGZ;1"),
        (".bashrc", "_BASHRC.;1"),
        ("index.html", "INDEX.HTM;1"),
        ("one.two.three.four", "ONE_TWO_.FOU;1"),
        ("trail.", "TRAIL.;1"),
        ("x..y", "X_.Y;1"),
        ("tëst.ü", "T__ST.__;1"),
    ] {
        assert_eq!(one(name, false, Level::One), expected);
    }
    assert_eq!(one("conf.d", true, Level::One), "CONF_D");
    assert_eq!(
        one("long-directory-name", true, Level::Two),
        "LONG_DIRECTORY_NAME"
    );
    assert_eq!(one("User Data.txt", false, Level::Four), "User Data.txt");
}

#[test]
fn long_names_share_the_room_with_their_extension() {
    let long = rules(Level::Two);
    for (name, expected) in [
        (
            "longbasenamelonger.verylongextension_over_thirty_characters",
            "LONGBASENAMELON.VERYLONGEXTENSI;1",
        ),
        (
            "x.verylongextension_over_thirty_characters",
            "X.VERYLONGEXTENSION_OVER_THIRTY;1",
        ),
        (
            "UPPERCASENAMEVERYLONGTHATEXCEEDS31CHARS.EXTENSION",
            "UPPERCASENAMEVERYLONG.EXTENSION;1",
        ),
        (
            "abcdefghijklmnopqrstuvwxyz0123456789abcd",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123.;1",
        ),
    ] {
        assert_eq!(with(long, name, false), expected);
    }
    for (name, expected) in [
        (
            "dirlongname_twenty_ab.extensionextension",
            "DIRLONGNAME_TWENTY_AB.EXTENSION",
        ),
        (
            "averyveryverylongdirectorynamethatislong.ext",
            "AVERYVERYVERYLONGDIRECTORYNAMET",
        ),
        ("dir.tar.gz", "DIR.TGZ"),
    ] {
        assert_eq!(with(long, name, true), expected);
    }
    let bare = PlainRules {
        omit_dot: true,
        ..long
    };
    assert_eq!(
        with(bare, "abcdefghijklmnopqrstuvwxyz0123456789abcd", false),
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234;1"
    );
}

#[test]
fn rules_are_stretched_one_by_one() {
    let one = rules(Level::One);
    let lower = PlainRules {
        lower_case: true,
        ..one
    };
    assert_eq!(with(lower, "Readme.Txt", false), "Readme.Txt;1");
    let dots = PlainRules {
        several_dots: true,
        ..rules(Level::Two)
    };
    assert_eq!(with(dots, "a.b.tar.gz", false), "A.B.TAR.GZ;1");
    assert_eq!(with(dots, "..x.y", false), "_.X.Y;1");
    let leading = PlainRules {
        leading_dots: true,
        ..one
    };
    assert_eq!(with(leading, ".hidden", false), ".HID;1");
    assert_eq!(with(leading, "..dots", false), "_.DOT;1");
    let ascii = PlainRules { ascii: true, ..one };
    assert_eq!(with(ascii, "a;1", false), "A;1.;1");
    assert_eq!(with(ascii, "b ~é", false), "B ~__.;1");
    let kept = PlainRules {
        no_translation: true,
        ..one
    };
    assert_eq!(with(kept, "#a-b+c~", false), "#A-B_C~.;1");
}

#[test]
fn lengths_hold_at_every_level() {
    let long = "x".repeat(255);
    let dotted = format!("{}.{}", "y".repeat(100), "z".repeat(154));
    for name in [long.as_str(), &dotted, "ä".repeat(127).as_str()] {
        assert!(one(name, false, Level::One).len() <= 14);
        assert!(one(name, true, Level::One).len() <= 8);
        assert!(one(name, false, Level::Two).len() <= 33);
        assert!(one(name, true, Level::Three).len() <= 31);
        assert!(one(name, false, Level::Four).len() <= MAX_BESIDE_ROCK_RIDGE);
    }
}

#[test]
fn collisions_get_numbers() {
    let names: Vec<String> = (0..3000).map(|i| format!("longfilename{i}.txt")).collect();
    let list: Vec<(&[u8], bool)> = names.iter().map(|n| (n.as_bytes(), false)).collect();
    let ids = Translator::new(PlainRules::of_level(Level::One), true).identifiers(&list);
    assert_eq!(&*ids[0], b"LONGFILE.TXT;1");
    assert_eq!(&*ids[1], b"LONGF000.TXT;1");
    assert_eq!(&*ids[11], b"LONGF00A.TXT;1");
    assert_eq!(&*ids[1297], b"LONGF100.TXT;1");
    let unique: HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    let short: [(&[u8], bool); 2] = [(b"ab-c", false), (b"ab_c", false)];
    let ids = Translator::new(rules(Level::One), true).identifiers(&short);
    assert_eq!(&*ids[1], b"AB_C000.;1");
}

#[test]
fn order_fills_with_spaces() {
    assert_eq!(compare(b"A.TXT;1", b"A1.TXT;1"), Ordering::Less);
    assert_eq!(compare(b"A.;1", b"A.B;1"), Ordering::Less);
    assert_eq!(compare(b"B", b"A.Z;1"), Ordering::Greater);
}
