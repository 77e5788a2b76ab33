//! The page in a real browser without a window: in light and dark, on a desk and on a telephone, every
//! view of it. A script beside this file looks at what the browser made of the page.

#[path = "../src/report/fixture.rs"]
mod fixture;

use std::path::{Path, PathBuf};
use std::process::Command;

use ipc_benches::report::schema::Record;
use serde_json::Value;

/// The same browser under its names in different distributions.
const BROWSERS: [&str; 4] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = BROWSERS.iter().flat_map(|name| folders.iter().map(move |at| at.join(name)));
    candidates.into_iter().find(|program| program.is_file())
}

/// Has the program write the page of the fixture, as a user would.
fn make_page(directory: &Path) -> PathBuf {
    let (json, page) = (directory.join("record.json"), directory.join("page.html"));
    std::fs::write(&json, fixture::json().to_string()).expect("the record is written");
    let output = Command::new(env!("CARGO_BIN_EXE_ipc-bench"))
        .arg("--from")
        .arg(&json)
        .arg("--html")
        .arg(&page)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

/// Opens a page, and returns the document after its scripts have run, and what the browser logged.
fn open(browser: &Path, page: &Path, width: u32, dark: bool, home: &Path) -> (String, String) {
    let output = Command::new("timeout")
        .arg("300")
        .arg(browser)
        // In containers its sandbox has no privileges to work with; the page is our own.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.join("profile").display()))
        .arg(format!("--blink-settings=preferredColorScheme={}", u32::from(!dark)))
        .arg(format!("--window-size={width},900"))
        .arg(format!("file://{}", page.display()))
        .env("HOME", home)
        .env("TMPDIR", home)
        .output()
        .expect("the browser starts");
    let logged = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the browser failed: {logged}");
    (String::from_utf8(output.stdout).expect("text"), logged)
}

/// The page with the script that checks it, which its policy has to let in.
fn with_check(page: &str) -> String {
    const LISTEN: &str = "<script>window.complaints = [];\n\
        addEventListener('error', (e) => complaints.push('error: ' + e.message), true);\n\
        addEventListener('securitypolicyviolation', (e) => complaints.push(e.blockedURI));\n\
        console.error = console.warn = (...all) => complaints.push(all.join(' '));</script>";
    let script = include_str!("page_check.js");
    let let_in =
        page.replacen("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';", 1);
    assert_ne!(page, let_in, "the page has a policy");
    let_in.replacen("<title>", &format!("{LISTEN}<title>"), 1).replacen(
        "</body>",
        &format!("<script>{script}</script></body>"),
        1,
    )
}

fn report(document: &str) -> Value {
    let (_, rest) = document.split_once("<pre id=\"report\">").expect("the check has run");
    let (report, _) = rest.split_once("</pre>").expect("an element ends");
    serde_json::from_str(report).expect("it is JSON")
}

#[test]
fn the_page_shows_every_plot_in_light_and_dark_on_desk_and_telephone() {
    const TEST: &str = "the benchmark's page in a browser";
    let Some(browser) = browser() else {
        return ipc_testing::skip_for_want_of(TEST, BROWSERS[0], BROWSERS[0]);
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let page = make_page(directory.path());
    let text = std::fs::read_to_string(&page).expect("the page was written");
    let checked = directory.path().join("checked.html");
    std::fs::write(&checked, with_check(&text)).expect("the copy is written");

    let record: Record = fixture::record();
    let mut colors = Vec::new();
    for (dark, width) in [(false, 1280), (true, 1280), (false, 390), (true, 390)] {
        let (document, _) = open(&browser, &checked, width, dark, directory.path());
        let found = report(&document);
        let at = format!("dark: {dark}, {width} wide: {found:#}");
        assert_eq!(found["complaints"], Value::Array(Vec::new()), "{at}");
        assert_eq!(found["requests"], Value::Array(Vec::new()), "{at}");
        assert_eq!(found["width"], width, "{at}");
        // Four situations, four sizes; in each a ranking, and three kinds of plot of six families,
        // but for signals, which have one size.
        assert_eq!(found["views"], 16, "{at}");
        assert!(found["fewestPlots"].as_u64().is_some_and(|plots| plots > 3 * 5), "{at}");
        assert_eq!(found["rows"], record.results.len(), "every row is in the tables; {at}");
        let names: Vec<&str> =
            found["names"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
        let processes = record.results.iter().filter(|row| row.processes == 2);
        let manners = ["in place", "batches of 32", "deadlines", "threads", "crossbeam-channel"];
        for name in processes.map(|row| row.mechanism.as_str()).chain(manners) {
            assert!(names.contains(&name), "{name} is named at a line; {at}");
        }
        for limit in ["cache line", "futex", "memory copy", "plain ring"] {
            assert!(names.contains(&limit), "the limit {limit} is drawn in; {at}");
        }
        colors.push(["paper", "ink", "ring", "limit"].map(|name| found[name].clone()));
    }
    assert_eq!((&colors[0], &colors[1]), (&colors[2], &colors[3]));
    for (light, dark) in colors[0].iter().zip(&colors[1]) {
        assert_ne!(light, dark, "nothing stays as it is in the dark");
    }
}

#[test]
fn the_page_as_it_is_makes_the_browser_complain_of_nothing() {
    const TEST: &str = "the benchmark's page as it is, in a browser";
    let Some(browser) = browser() else {
        return ipc_testing::skip_for_want_of(TEST, BROWSERS[0], BROWSERS[0]);
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let page = make_page(directory.path());
    let (document, logged) = open(&browser, &page, 1280, false, directory.path());
    assert!(document.contains("What to pick"), "{document}");
    assert!(!logged.contains("CONSOLE"), "{logged}");
}
