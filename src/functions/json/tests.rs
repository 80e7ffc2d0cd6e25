use super::*;

#[test]
fn json_is_checked_and_loses_its_blanks() {
    for (text, compact) in [
        (" { \"a b\" : [ 1 , 2.50 ,\n\"x \\\" , y\" ] , \"b\" : null } ", r#"{"a b":[1,2.50,"x \" , y"],"b":null}"#),
        ("  12345678901234567890123 ", "12345678901234567890123"),
        (r#""\\""#, r#""\\""#),
        ("[]", "[]"),
    ] {
        assert_eq!(parse(text).unwrap(), compact);
    }
    for text in ["", "{", "{'a': 1}", "[1,]", "tru", "1 2", "\"\u{1}\""] {
        assert_eq!(parse(text).unwrap_err().state(), SqlState::INVALID_TEXT, "{text}");
    }
}

#[test]
fn parts_are_found() {
    let json = r#"{"a":{"b":[10,"x,]}\"",{"c":true}]},"a":1,"\u00e9":null}"#;
    let name = |name: &str| Step::Name(name.into());
    let b = part(part(json, &name("a")).unwrap(), &name("b")).unwrap();
    assert_eq!(b, r#"[10,"x,]}\"",{"c":true}]"#);
    assert_eq!(part(b, &Step::Index(0)), Some("10"));
    assert_eq!(part(b, &Step::Index(1)), Some(r#""x,]}\"""#));
    assert_eq!(part(b, &Step::Index(2)), Some(r#"{"c":true}"#));
    assert_eq!(part(json, &name("é")), Some("null"));
    for (json, step) in
        [(b, Step::Index(3)), (b, Step::Index(-1)), (b, name("a")), (json, Step::Index(0)), ("1", name("a"))]
    {
        assert_eq!(part(json, &step), None, "{json} {step:?}");
    }
    assert_eq!(members("[]", b'[').count(), 0);
    assert_eq!(members("{}", b'{').count(), 0);
}

/// SUPER is read from storage, where damage may have changed it.
#[test]
fn damaged_json_does_not_panic() {
    let json = r#"{"a":{"b":[10,"x\"é",{"c":true}]},"d":[[]]}"#;
    let cuts = (0..=json.len()).filter(|end| json.is_char_boundary(*end));
    for text in cuts.flat_map(|end| [&json[..end], &json[end..]]) {
        for step in [Step::Name("a".into()), Step::Index(0), Step::Index(2)] {
            part(text, &step);
        }
        let _ = scalar_text(text);
    }
}

#[test]
fn values_become_json() {
    let json =
        |array: ArrayRef| to_super(&array, false).map(|a| a.iter().flatten().map(String::from).collect::<Vec<_>>());
    assert_eq!(json(Arc::new(StringViewArray::from(vec!["a\"b", "1"]))).unwrap(), [r#""a\"b""#, r#""1""#]);
    assert_eq!(json(Arc::new(BooleanArray::from(vec![true, false]))).unwrap(), ["true", "false"]);
    assert_eq!(json(Arc::new(arrow::array::Float64Array::from(vec![1.5, -1e300]))).unwrap(), ["1.5", "-1e300"]);
    assert!(json(Arc::new(arrow::array::Float64Array::from(vec![f64::NAN]))).is_err());
    assert!(json(Arc::new(arrow::array::Float64Array::from(vec![f64::NEG_INFINITY]))).is_err());
    assert!(json(Arc::new(arrow::array::Date32Array::from(vec![1]))).is_err());
    assert_eq!(scalar_text(r#""a\"b""#).unwrap(), Some("a\"b".into()));
    assert_eq!(scalar_text("null").unwrap(), None);
    assert!(scalar_text("[1]").is_err());
}

#[test]
fn kinds_of_values() {
    for (json, kind, holds) in [
        ("32767", What::SmallInt, true),
        ("32768", What::SmallInt, false),
        ("-2147483648", What::Integer, true),
        ("9223372036854775808", What::BigInt, false),
        ("1.0", What::BigInt, false),
        ("\"1\"", What::BigInt, false),
        ("\"1\"", What::Varchar, true),
        ("null", What::Scalar, false),
        ("true", What::Scalar, true),
        ("[]", What::Scalar, false),
    ] {
        assert_eq!(kind.holds(json), holds, "{json} {kind:?}");
    }
}
