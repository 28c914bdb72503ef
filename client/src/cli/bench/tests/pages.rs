//! The report as text and as a page.

use super::documented::reports;
use crate::cli::bench::{html, report::Report, text};

/// Panics unless every element is closed where it must be, and every attribute is in quotes.
fn assert_well_formed(page: &str) {
    let (mut rest, mut open) = (page.strip_prefix("<!DOCTYPE html>").unwrap(), Vec::new());
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a > that stands alone before {:.80}", &rest[start..]);
        let end = start + rest[start..].find('>').unwrap_or_else(|| panic!("not closed: {:.80}", &rest[start..]));
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        match () {
            () if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{tag}"),
            () if tag.ends_with('/') => {}
            () => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// Everything that a browser would fetch, or run.
fn assert_self_contained(page: &str) {
    for word in ["src=", "href", "url(", "@import", "<link", "<script", "<iframe", "<object", " on"] {
        let found = page.find(word).map(|at| &page[at..(at + 60).min(page.len())]);
        // "on" is a word of the texts, too: only a handler is followed by a name and =.
        let handler = found.is_some_and(|text| {
            word != " on" || text.split_once('=').is_some_and(|(name, _)| !name.trim().contains(' '))
        });
        assert!(!handler, "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_is_well_formed_and_fetches_nothing() {
    for report in reports().await {
        let page = html::page(&report);
        assert_well_formed(&page);
        assert_self_contained(&page);
        assert!(page.matches("<svg").count() >= 6, "{}", page.matches("<svg").count());
        assert!(!page.contains("NaN") && !page.contains("inf"), "a figure that is none");
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_have_written_is_text_on_the_page() {
    let [mut report, _] = reports().await;
    report.settings.statement = super::Statement::Sql("select '<script src=\"x\">' & \u{1b}[31m".to_owned());
    report.failures[0].message = "<img src='x' onerror='y'>".to_owned();
    let page = html::page(&report);
    assert_well_formed(&page);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1b}'));
    assert!(page.contains("select &#39;&lt;script src=&quot;x&quot;&gt;&#39; &amp;"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_single_answer_has_a_report_too() {
    let mut lab = super::Lab::start(|_| rowstream_client::testing::Answer::hang()).await;
    (lab.extent, lab.grace) = (super::Extent::Duration(super::MS * 100), super::MS);
    let mut report = lab.run().await;
    report.latency.service = crate::cli::bench::latency::Latency::default();
    assert_well_formed(&html::page(&report));
    assert!(text::text(&report).contains("1 given up at the end"));
}

#[tokio::test(start_paused = true)]
async fn the_text_tells_what_was_done_and_what_came_of_it() {
    let [closed, open] = reports().await;
    let told = text::text(&closed);
    for line in [
        "rowstream bench: query q\nclosed loop, 1 call under way at all times; measured for 3.00s after 0.00ms of warm-up\n",
        "1 failed",
        "           1 INTERNAL INTERNAL: scripted: INTERNAL\n",
        "rows, checked and counted, values not read",
        "service time, histogram\n",
        "service time, percentile spectrum\n",
        "\n     100 % ",
    ] {
        assert!(told.contains(line), "{line:?} is not in\n{told}");
    }
    assert!(!told.contains("\nresponse"), "{told}");
    let told = text::text(&open);
    for line in [
        "open loop from 20/s to 40/s, in 2 steps",
        "\nresponse ",
        "\n20/s               30        30",
        "\n40/s               60        60",
    ] {
        assert!(told.contains(line), "{line:?} is not in\n{told}");
    }
    assert!(bars(&told).iter().all(|length| *length <= 40) && bars(&told).contains(&40), "{told}");
}

fn bars(text: &str) -> Vec<usize> {
    text.lines().filter(|line| line.contains('|')).map(|line| line.matches('#').count()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_report_that_was_read_again_tells_the_same() {
    let [closed, _] = reports().await;
    let before: Report = Report::read(&closed.write().unwrap()).unwrap();
    assert_eq!(text::text(&before), text::text(&closed), "what is read tells the same");
}
