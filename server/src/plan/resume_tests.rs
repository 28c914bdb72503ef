use proptest::prelude::*;
use rowstream_contract::v1::{Statement, StreamQueryRequest, statement::Source};

use super::*;

fn request(sql: &str) -> StreamQueryRequest {
    let statement = Statement { source: Some(Source::Sql(sql.to_owned())), ..Statement::default() };
    StreamQueryRequest {
        statement: Some(statement),
        resume_key: vec!["id".to_owned()],
        ..StreamQueryRequest::default()
    }
}

fn resume(mut request: StreamQueryRequest, keys: &Keys) -> Result<Resume, Error> {
    let fingerprint = fingerprint(&mut request);
    Resume::try_new(&request, fingerprint, keys)
}

fn token(keys: &Keys, request: &StreamQueryRequest) -> Vec<u8> {
    let mark = Mark {
        fingerprint: fingerprint(&mut request.clone()),
        shape: vec![7; 16],
        rows: 11,
        position: Some(Position::Keyset(vec![0, 0, 0, 1, 5])),
    };
    keys.seal(Kind::Resume, &mark).to_vec()
}

#[test]
fn named_values_make_one_fingerprint_in_whichever_order_they_are_hashed() {
    let named = |names: &[&str]| {
        let value = |name: &&str| ((*name).to_owned(), crate::plan::param::text_value(name));
        let mut request = request("select 1");
        request.statement.as_mut().expect("set").named_parameters = names.iter().map(value).collect();
        let whole = request.clone();
        let fingerprint = fingerprint(&mut request);
        assert_eq!(request, whole, "what was put aside is back");
        fingerprint
    };
    let names: Vec<String> = (0..50).map(|i| format!("name{i}")).collect();
    let forwards: Vec<&str> = names.iter().map(String::as_str).collect();
    let backwards: Vec<&str> = forwards.iter().rev().copied().collect();
    assert_eq!(named(&forwards), named(&backwards));
    assert_ne!(named(&forwards), named(&forwards[1..]));
}

#[test]
fn a_key_names_each_column_once() {
    let keys = Keys::random().expect("randomness");
    let refused = |names: Vec<String>| {
        let request = StreamQueryRequest { resume_key: names, ..request("select 1") };
        resume(request, &keys).expect_err("refused").to_string()
    };
    assert_eq!(refused(vec!["a".to_owned(), "a".to_owned()]), "resume_key: has \"a\" twice");
    assert_eq!(refused((0..33).map(|i| i.to_string()).collect()), "resume_key: has more than 32 columns");
}

proptest! {
    #[test]
    fn no_altered_token_is_taken_and_none_for_another_request(
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
        other in "[a-z]{1,9}",
    ) {
        let keys = Keys::random().expect("randomness");
        let asked = request("select 1");
        let token = token(&keys, &asked);
        let with = |request: StreamQueryRequest, resume_token: Vec<u8>| {
            resume(StreamQueryRequest { resume_token, ..request }, &keys)
        };
        prop_assert_eq!(with(asked.clone(), token.clone()).expect("as it was given").rows(), 11);
        let mut altered = token.clone();
        altered[at.index(token.len())] ^= flip;
        prop_assert!(matches!(with(asked, altered), Err(Error::InvalidToken("resume_token"))));
        prop_assert!(matches!(with(request(&other), token), Err(Error::InvalidToken("resume_token"))));
    }

    #[test]
    fn a_key_leads_back_to_its_values(values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..6)) {
        let mut key = Key::default();
        values.iter().for_each(|value| key.push(value.as_deref()));
        let back = key.values(values.len()).expect("a key of so many");
        prop_assert_eq!(back, values.iter().map(Option::as_deref).collect::<Vec<_>>());
        prop_assert_eq!(key.values(values.len() + 1), None);
    }

    #[test]
    fn bytes_that_are_no_key_are_none(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0..4_usize) {
        if let Some(values) = Key(bytes.clone()).values(count) {
            prop_assert_eq!(values.len(), count);
        }
    }
}
