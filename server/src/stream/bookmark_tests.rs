use super::*;
use crate::plan::resume::Position;

/// A row of one column.
struct Row(Option<&'static [u8]>);

impl RawRow for Row {
    fn len(&self) -> usize {
        1
    }

    fn values(&self) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
        std::iter::once(Ok(self.0))
    }
}

fn key(value: Option<&[u8]>) -> Key {
    let mut key = Key::default();
    key.push(value);
    key
}

fn keyset(padded: bool, seam: Option<Key>) -> Keyset {
    Keyset { columns: vec![(0, padded)], shape: vec![1], behind: Vec::new(), seam, limit: None }
}

fn passed(bookmark: &mut Bookmark<'_>, values: &[Option<&'static [u8]>]) -> Vec<Passed> {
    values.iter().map(|value| bookmark.pass(&Row(*value)).expect("well-formed")).collect()
}

#[test]
fn rows_of_the_same_key_are_seen_also_where_the_key_is_null_or_padded() {
    let keys = Keys::random().expect("randomness");
    let resume = Resume::default();
    for (padded, values, expected) in [
        (false, [Some(&b"a"[..]), Some(b"a ")], Passed::Taken),
        (true, [Some(&b"a"[..]), Some(b"a ")], Passed::NotUnique),
        (false, [None, None], Passed::NotUnique),
        (false, [None, Some(b"")], Passed::Taken),
        (false, [Some(b""), Some(b"")], Passed::NotUnique),
    ] {
        let mut bookmark = Bookmark::new(&keys, &resume, Some(keyset(padded, None)));
        assert_eq!(passed(&mut bookmark, &values), [Passed::Taken, expected], "{values:?}");
    }
}

#[test]
fn the_seam_is_left_out_once_and_only_as_the_first_row() {
    let keys = Keys::random().expect("randomness");
    let resume = Resume::default();
    let seam = || Some(keyset(false, Some(key(Some(b"a")))));
    let mut bookmark = Bookmark::new(&keys, &resume, seam());
    assert!(bookmark.awaits_seam());
    assert_eq!(passed(&mut bookmark, &[Some(b"a"), Some(b"b")]), [Passed::Seam, Passed::Taken]);
    assert!(!bookmark.awaits_seam());
    let mut bookmark = Bookmark::new(&keys, &resume, seam());
    assert_eq!(passed(&mut bookmark, &[Some(b"a"), Some(b"a")]), [Passed::Seam, Passed::NotUnique]);
    let mut bookmark = Bookmark::new(&keys, &resume, seam());
    assert_eq!(passed(&mut bookmark, &[Some(b"b"), Some(b"c")]), [Passed::Taken, Passed::Taken]);
}

#[test]
fn a_token_holds_the_key_of_the_row_before_its_boundary() {
    let keys = Keys::random().expect("randomness");
    let resume = Resume { fingerprint: vec![4], ..Resume::default() };
    let mut bookmark = Bookmark::new(&keys, &resume, Some(keyset(false, None)));
    let mark = |token: &[u8]| keys.open::<Mark>(Kind::Resume, token).expect("ours");
    assert_eq!(mark(&bookmark.at_start()).position, None);
    passed(&mut bookmark, &[Some(b"a"), Some(b"b"), Some(b"c")]);
    let last = mark(&bookmark.behind(3));
    assert_eq!((last.rows, last.fingerprint, last.shape), (3, vec![4], vec![1]));
    assert_eq!(last.position, Some(Position::Keyset(key(Some(b"c")).0)));
    assert_eq!(mark(&bookmark.behind(2)).position, Some(Position::Keyset(key(Some(b"b")).0)));
}

#[test]
fn what_has_no_key_and_what_has_one_that_is_too_large_gets_no_token() {
    const LARGE: [u8; MAX_KEY_BYTES] = [b'x'; MAX_KEY_BYTES];
    let keys = Keys::random().expect("randomness");
    let resume = Resume::default();
    let mut bookmark = Bookmark::new(&keys, &resume, None);
    passed(&mut bookmark, &[Some(b"a"), Some(b"a")]);
    assert_eq!((bookmark.guarantee(), bookmark.behind(2)), (ResumeGuarantee::None, Vec::new()));
    let mut bookmark = Bookmark::new(&keys, &resume, Some(keyset(false, None)));
    passed(&mut bookmark, &[Some(b"a"), Some(&LARGE)]);
    assert!(bookmark.behind(2).is_empty() && !bookmark.behind(1).is_empty());
}

#[test]
fn every_boundary_of_the_rows_that_wait_has_its_token() {
    let keys = Keys::random().expect("randomness");
    let resume = Resume::default();
    let mut bookmark = Bookmark::new(&keys, &resume, Some(keyset(false, None)));
    let values: Vec<&'static [u8]> = (0..300_i32).map(|number| &*number.to_be_bytes().to_vec().leak()).collect();
    for (index, value) in values.iter().enumerate() {
        passed(&mut bookmark, &[Some(value)]);
        let noted = i64::try_from(index).expect("few") + 1;
        for rows in (noted - 65).max(1)..=noted {
            let mark = keys.open::<Mark>(Kind::Resume, &bookmark.behind(rows)).expect("ours");
            let expected = key(Some(values[usize::try_from(rows).expect("few") - 1]));
            assert_eq!((mark.rows, mark.position), (rows, Some(Position::Keyset(expected.0))), "{rows} of {noted}");
        }
        assert!(bookmark.behind(noted - 66).is_empty() || noted <= 66, "forgotten");
        assert!(bookmark.behind(noted + 1).is_empty(), "not noted yet");
    }
    assert_eq!(keys.open::<Mark>(Kind::Resume, &bookmark.behind(0)).expect("ours").position, None);
}

#[test]
fn a_large_key_is_compared_and_forgotten() {
    const LARGE: [u8; MAX_KEY_BYTES] = [b'x'; MAX_KEY_BYTES];
    let keys = Keys::random().expect("randomness");
    let resume = Resume::default();
    let mut bookmark = Bookmark::new(&keys, &resume, Some(keyset(false, None)));
    let values = [Some(&LARGE[..]), Some(b"a"), Some(&LARGE), Some(&LARGE)];
    assert_eq!(passed(&mut bookmark, &values), [Passed::Taken, Passed::Taken, Passed::Taken, Passed::NotUnique]);
    let mut behind = |rows| bookmark.behind(rows);
    assert!(behind(1).is_empty() && behind(3).is_empty());
    let second = keys.open::<Mark>(Kind::Resume, &behind(2)).expect("ours").position;
    assert_eq!(second, Some(Position::Keyset(key(Some(b"a")).0)));
}
