use super::EditExpression;
use std::process::Command;

/// What the real perl makes of each text, as virt-edit runs it; `None` where perl is missing, or refuses the expression.
/// Each text gets a package of its own, so that none sees the variables of another.
fn perl(expression: &str, texts: &[&str]) -> Option<Vec<String>> {
    let mut program = String::new();
    for index in 0..texts.len() {
        program.push_str(&format!(
            "package T{index}; close STDIN; open STDIN, '<', \\$ARGV[{index}] or die; $lineno = 0;\n\
             while (<STDIN>) {{ $lineno++; {expression}\n; print STDOUT $_ or die; }} print STDOUT qq(\\0);\n"
        ));
    }
    let output = Command::new("perl")
        .args(["-e", &program, "--"])
        .args(texts)
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "perl is needed: {error}");
            eprintln!("SKIPPED: no perl to judge edit expressions");
            return None;
        }
    };
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let mut results: Vec<String> = text.split('\0').map(str::to_owned).collect();
    assert_eq!(results.pop().as_deref(), Some(""));
    assert_eq!(results.len(), texts.len());
    Some(results)
}

const TEXTS: &[&str] = &[
    "",
    "\n",
    "no newline at the end",
    "#PermitRootLogin prohibit-password\nPermitRootLogin yes\n  PermitRootLogin x \nPort 22\n# Port 23\n",
    "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice A,,,:/home/alice:/bin/zsh\n",
    "GRUB_CMDLINE_LINUX=\"quiet splash\"\nGRUB_TIMEOUT=5\nGRUB_TIMEOUT=\"10\"\n",
    "aaa bbb aaa\nabcabcabc\nAbC foo.bar foo|bar\n\n\n   \ttabbed\t\n",
    "127.0.0.1\tlocalhost\n127.0.1.1 old.example.com old\n::1 ip6-localhost\n10.0.0.5 db\r\nwindows line\r\n",
    "a@b.com $HOME {x} [y] (z) \\back\\slash /path/to/it ~ ^caret *star+ ?\n",
    "x=1;y=2;z=33\nkey = value = other\n1 2 3 42 007 -5 3.75\n",
];

const EXPRESSIONS: &[&str] = &[
    "s/^#?PermitRootLogin.*/PermitRootLogin no/",
    "s/a/X/",
    "s/a/X/g",
    "s/A/x/gi",
    "s/a*/-/g",
    "s/x*$/END/",
    "s/$/ tail/",
    "s/^/# /",
    "s/\\s+$//",
    "s/\\s+$/\\n/",
    "s/[ \\t]+$//",
    "s/\\r$//",
    "s/\\r?\\n/\\n/",
    "s/(\\w+)\\s+(\\w+)/$2 $1/",
    "s/(\\w+)\\s+(\\w+)/\\2 \\1/g",
    "s/(\\w+)/<${1}>/g",
    "s/(\\w)(\\w*)/\\u$1\\L$2/g",
    "s/(\\w+)/\\U$1\\E!/g",
    "s/\\b(\\w)/\\U$1/g",
    "s/(foo)\\.(bar)/$&/",
    "s/foo\\|bar/pipe/",
    "s|/path/to/it|/other|",
    "s{/path/(to)/it}{/new/$1}g",
    "s{(a)} {[$1]}g",
    "s,localhost,host,",
    "s#^127\\.0\\.1\\.1\\s.*#127.0.1.1 new#",
    "s!a!b! if /bbb/",
    "s/a/b/ unless /bbb/",
    "$_ = \"\" if /^#/",
    "$_ = '' if m{^\\s*$}",
    "next if /^#/",
    "last if /Port/",
    "$_ .= \"after\\n\" if /^root:/",
    "$_ = \"before\\n$_\" if /^alice:/",
    "$_ = $lineno . \": \" . $_",
    "$_ = \"$lineno $_\" if $lineno == 2",
    "$_ = '' if $lineno > 2 && $lineno <= 4",
    "print \"first\\n\" if $lineno == 1",
    "tr/a-z/A-Z/",
    "y/a-c/x/",
    "tr/a-zA-Z//cd",
    "tr/a-z//s",
    "tr/ab/xy/s",
    "tr/0-9/#/",
    "tr/a-y/b-z/; s/b/B/",
    "my $n = tr/a//; s/^/$n /",
    "s/^(\\w+)=.*/$1=new/; s/new/NEW/",
    "if (/root/) { s/bash/sh/; } else { s/zsh/fish/ }",
    "if (/^#/) { $_ = '' } elsif (/^Port/) { s/22/2222/ } else { s/^/>/ }",
    "unless (/root/) { s/^/-/ }",
    "s/x/y/ if !/root/ and /x/ or $lineno eq '1'",
    "/^(\\w+):/ && s/$1/USER/",
    "if (/^(\\S+)\\s+(\\S+)/) { $_ = \"$2\\t$1\\n\" }",
    "chomp; $_ .= \"|\\n\"",
    "chomp; s/$/;/; $_ = uc($_) . \"\\n\"",
    "$_ = lc $_",
    "$_ = ucfirst lc",
    "$c++ if /a/; s/^/$c:/ if defined $c",
    "$seen ||= /Port/; s/^/seen / if $seen",
    "s/(?<=a)b/B/g",
    "s/(?<!a)b/B/g",
    "s/a(?=b)/A/g",
    "s/a(?!b)/A/g",
    "s/(a|ab)(c|bcd)?/[$1,$2]/g",
    "s/(.)\\1/<$1$1>/g",
    "s/a{2,3}/M/g",
    "s/a{2}?/M/g",
    "s/\\d+/N/g",
    "s/\\D/_/g",
    "s/[^\\w\\s]/P/g",
    "s/[[:digit:]]+/D/g",
    "s/[[:^alpha:]]/./g",
    "s/[]x]/C/g",
    "s/[a\\-c]/C/g",
    "s/.*?=//",
    "s/=.*?$/=/",
    "s/\"([^\"]*)\"/'$1'/",
    "s/(GRUB_CMDLINE_LINUX=\".*)\"/$1 console=ttyS0\"/",
    "s/(?i)permitrootlogin/X/",
    "s/(?i:GRUB)_t/X/i",
    "s/ a \\s b /Z/x",
    "s/o$/O/m",
    "s/.\\n/Q/s",
    "s/x.y/Q/s",
    "s/\\Qfoo.bar\\E/quoted/",
    "s/foo\\Kbar/X/",
    "s/foo.\\Kbar/X/g",
    "s/\\x41/hex/",
    "s/\\t/    /g",
    "s/\\//|/g",
    "s/\\\\/\\//g",
    "s/\\$HOME/\\$PWD/",
    "s/a\\@b/c\\@d/",
    "s/(?:x|y|z)=(\\d+)/$1/g",
    "s/([a-z])=([0-9]+)/$2=$1/g; s/;/\\n/g",
    "s/(?>a+)b/Z/",
    "s/a++/Z/",
    "s/^(?=.*root)(?=.*bash)/BOTH /",
    "s/\\bdb\\b/database/",
    "s/\\Bb/_/g",
    "s/\\A./F/",
    "s/.\\Z/L/",
    "s/\\n\\z//",
    "s/(\\d+)/$1 + 1/",
    "$_ = \"$1\\n\" if /(\\d+)/",
    "$_ = $1 * 2 . \"\\n\" if /(\\d+)/",
    "$_ = ($lineno % 2 ? 'odd ' : 'even ') . $_",
    "$_ = 10 / 4 . ' ' . 7 % 3 . ' ' . 2 ** 0 . $_ if 0; s/a/b/",
    "$_ = (10 / 4) . ' ' . (7 % 3) . ' ' . (-7 % 3) . ' ' . 1 / 3 . ' ' . 0.1 . \"\\n\"",
    "$_ = 'ab' x 3 . \"\\n\"",
    "$_ = length($_) . \"\\n\"",
    "s'a'$x'g",
    "$_ = q(it's (nested)) . qq{ $lineno\\n}",
    "s/a/b/;;; s/b/c/; # a comment\ns/c/d/",
    "my $copy = $_; $copy =~ s/a/b/g; $_ = $copy",
    "$_ !~ /a/ and $_ = ''",
    "(my $t = $_) =~ s/a/b/; $_ = $_",
    "s/b+/length/ while 0; s/z/y/",
    "$_ = s/a/b/gr",
    "s/(x)?y/[$1]/",
    "s/(?:(a)|b)*/<$1>/",
    "s/((a)|b)*c/<$1$2>/",
    "s/(a*)*/<$1>/",
    "s/(a*)+/<$1>/",
    "s/(a|b|)*c?/<>/",
    "s/^\\s*(#.*)?$/EMPTY/",
    "s/\\h+/ /g",
    "s/\\R/!\\n/",
    "s/[\\s=]+/ /g",
    "s/\\W+/-/g",
    "tr/a-zA-Z0-9\\n//cd",
    "tr/\\x41-\\x43/1-3/",
    "s/(\\S+)$/[$1]/",
    "s/([^:]*):([^:]*)/$2:$1/",
    "s/:[^:]*$/:\\/sbin\\/nologin\\n/ if /^alice:/",
];

#[test]
fn edits_as_perl_does() {
    let mut judged = 0;
    for expression in EXPRESSIONS {
        let parsed = match EditExpression::parse(expression) {
            Ok(parsed) => parsed,
            Err(super::EditError::Unsupported { .. }) if BEYOND.contains(expression) => continue,
            Err(error) => panic!("{expression}: {error}"),
        };
        assert!(!BEYOND.contains(expression), "{expression} is supported now");
        let Some(wanted) = perl(expression, TEXTS) else {
            assert!(perl("", TEXTS).is_none(), "perl refuses {expression}");
            return;
        };
        for (text, wanted) in TEXTS.iter().zip(wanted) {
            let found = parsed.apply(text.as_bytes()).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&found),
                wanted,
                "{expression} on {text:?}"
            );
            judged += 1;
        }
    }
    assert!(judged > 1000);
}

/// Expressions of the table that perl runs and disksmith refuses.
const BEYOND: &[&str] = &[
    "$_ = 10 / 4 . ' ' . 7 % 3 . ' ' . 2 ** 0 . $_ if 0; s/a/b/",
    "(my $t = $_) =~ s/a/b/; $_ = $_",
    "s/b+/length/ while 0; s/z/y/",
    "/^(\\w+):/ && s/$1/USER/",
];

#[test]
fn refuses_what_is_beyond_it_by_name() {
    for (expression, named) in [
        ("system('rm -rf /')", "system"),
        ("s/a/uc($1)/e", "flag e"),
        ("@x = split /,/", "arrays"),
        ("foreach (1..3) { }", "foreach"),
        ("s/$var/x/", "variable"),
        ("s/a/$x[0]/", "arrays"),
        ("s/a/me@example.com/", "array"),
        ("open F, '<x'", "open"),
        ("`ls`", "running commands"),
        ("s/(?<name>a)/b/", "named group"),
        ("$_ = <STDIN>", "reading files"),
        ("/a/g", "flag g"),
    ] {
        let error = EditExpression::parse(expression).unwrap_err();
        assert!(
            matches!(error, super::EditError::Unsupported { .. }),
            "{expression}: {error:?}"
        );
        assert!(error.to_string().contains(named), "{expression}: {error}");
    }
}

#[test]
fn refuses_what_is_no_perl() {
    for expression in [
        "s/a/b",
        "s/(/x/",
        "s/a)/x/",
        "s/[a/x/",
        "s/a**/x/",
        "$_ =",
        "if (/a/ { }",
        "s/a/b/ s/c/d/",
        "}",
        "s/a/$2/",
        "s/\\2(a)/x/",
        "s/[z-a]/x/",
        "1 +",
        "\"abc",
    ] {
        let error = EditExpression::parse(expression).unwrap_err();
        assert!(
            matches!(error, super::EditError::Syntax { .. }),
            "{expression}: {error:?}"
        );
    }
}

#[test]
fn gives_up_on_a_pattern_that_goes_astray() {
    let expression = EditExpression::parse("s/(a+)+(a+)+(a+)+b/x/").unwrap();
    let line = vec![b'a'; 4000];
    let result = super::run::run(expression.statements(), &line, 2_000_000);
    assert_eq!(result, Err(super::EditError::TooMuchWork));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(
        if std::env::var_os("DISKSMITH_LONG").is_some() { 20_000 } else { 200 }
    ))]

    /// Random patterns over a small alphabet: perl is asked about each.
    #[test]
    fn random_patterns_match_as_perls(
        pattern in "(\\(|\\)|a|b|c|\\.|\\*|\\+|\\?|\\||\\^|\\$|\\[ab\\]|\\[\\^a\\]|\\\\b|\\\\w|\\\\s|\\{1,2\\}|\\*\\?|\\(\\?:|\\(\\?=|\\(\\?!|\\\\1){1,8}",
        text in "[abc \n]{0,14}",
        flags in "[gim]{0,3}",
    ) {
        let expression = format!("s/{pattern}/<$&>/{flags}");
        let Ok(parsed) = EditExpression::parse(&expression) else { return Ok(()) };
        if let Some(wanted) = perl(&expression, &[&text]) {
            let found = parsed.apply(text.as_bytes()).unwrap();
            proptest::prop_assert_eq!(String::from_utf8_lossy(&found).into_owned(), wanted[0].clone(), "{} on {:?}", expression, text);
        }
    }

    #[test]
    fn no_input_panics(source in ".{0,40}", text in "(?s).{0,60}") {
        if let Ok(parsed) = EditExpression::parse(&source) {
            let _ = super::run::run(parsed.statements(), text.as_bytes(), 1_000_000);
        }
    }

    #[test]
    fn no_perl_like_input_panics(
        source in "[smy$_=/{}()\\[\\]|.*+?ab1 ;!\"'\\\\ifx&<>-]{0,30}", text in "[ab1 \n/]{0,60}"
    ) {
        if let Ok(parsed) = EditExpression::parse(&source) {
            let _ = super::run::run(parsed.statements(), text.as_bytes(), 1_000_000);
        }
    }
}
