//! Expressions: what each is worth.

use super::{json, value};
use proptest::prelude::*;

const DOCUMENT: &str = r#"{
    "_id": "x", "a": 7, "b": 2, "f": 0.5, "s": "Grün", "n": null, "t": true, "big": 9007199254740993,
    "max": 9223372036854775807, "min": -9223372036854775808,
    "tags": ["red", {"_id": "inner"}, null], "place": {"city": "Bay Springs", "order": 1}, "US Gross": 10, "a.b": 3
}"#;

#[test]
fn expressions_have_the_documented_values() {
    for (expr, expected) in [
        // Literals, paths, constructors.
        ("1", "1"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.5e3", "1500.0"),
        ("'it''s'", r#""it's""#),
        ("place.city", r#""Bay Springs""#),
        ("place.order", "1"),
        ("tags[0]", r#""red""#),
        ("tags[1]._id", r#""inner""#),
        ("tags[2]", "null"),
        ("place['city']", r#""Bay Springs""#),
        ("\"US Gross\" + 1", "11"),
        ("`a.b`", "3"),
        ("[a, 'x', [missing_field]]", r#"[7,"x",[null]]"#),
        ("{'a': a, b: b, \"c d\": absent}", r#"{"a":7,"b":2}"#),
        ("{}", "{}"),
        ("[]", "[]"),
        // Precedence and arithmetic.
        ("1 + 2 * 3 - 4", "3"),
        ("(1 + 2) * 3", "9"),
        ("-a + 1", "-6"),
        ("- -a", "7"),
        ("10 - 4 - 3", "3"),
        ("7 / 2", "3.5"),
        ("8 / 2", "4"),
        ("7 % 4", "3"),
        ("-7 % 4", "-3"),
        ("min % -1", "0"),
        ("7.5 % 2", "1.5"),
        ("a / 0", "null"),
        ("a % 0", "null"),
        ("f / 0.0", "null"),
        ("s + 1", "null"),
        ("a + n", "null"),
        ("a + absent", "null"),
        ("a + f", "7.5"),
        ("'a' || 1 + 2 || 'b'", r#""a3b""#),
        ("s || n", "null"),
        ("'is ' || t", r#""is true""#),
        // Comparison.
        ("a = 7.0", "true"),
        ("a == 7", "true"),
        ("a != 7", "false"),
        ("a <> '7'", "true"),
        ("a = '7'", "false"),
        ("a < '7'", "null"),
        ("big = 9007199254740992.0", "false"),
        ("big > 9007199254740992.0", "true"),
        ("max < 9223372036854775808.0", "true"),
        ("'a' < 'b'", "true"),
        ("false < true", "true"),
        ("[1,2] = [1.0,2]", "true"),
        ("[1,2] < [1,3]", "true"),
        ("n = null", "null"),
        ("absent = absent", "null"),
        ("a = b IS NULL", "false"),
        // IS, IN, BETWEEN, LIKE.
        ("n IS NULL", "true"),
        ("absent IS NULL", "false"),
        ("absent IS MISSING", "true"),
        ("n IS MISSING", "false"),
        ("n IS NOT MISSING", "true"),
        ("a IS NOT NULL", "true"),
        ("tags[9] IS MISSING", "true"),
        ("a.b.c IS MISSING", "true"),
        ("a IN (1, 7)", "true"),
        ("a IN (1, null)", "null"),
        ("a IN (7, null)", "true"),
        ("a NOT IN (1, 2)", "true"),
        ("a NOT IN (1, null)", "null"),
        ("n IN (1)", "null"),
        ("a IN ()", "false"),
        ("'red' IN tags", "true"),
        ("'blue' IN tags", "null"),
        ("a IN s", "null"),
        ("a BETWEEN 1 AND 7", "true"),
        ("a NOT BETWEEN 1 AND 6 AND t", "true"),
        ("a BETWEEN n AND 6", "false"),
        ("a BETWEEN n AND 8", "null"),
        ("s LIKE 'Gr_n'", "true"),
        ("s LIKE 'gr%'", "false"),
        ("s NOT LIKE 'gr%'", "true"),
        ("'5%' LIKE '5!%' ESCAPE '!'", "true"),
        ("a LIKE '7'", "null"),
        // CASE and functions.
        ("CASE WHEN a > 5 THEN 'big' ELSE 'small' END", r#""big""#),
        (
            "CASE a WHEN 1 THEN 'one' WHEN 7.0 THEN 'seven' END",
            r#""seven""#,
        ),
        ("CASE n WHEN null THEN 1 END", "null"),
        ("lower(s) || UPPER(s)", r#""grünGRÜN""#),
        ("length(s) + length(tags)", "7"),
        ("length(a)", "null"),
        ("abs(-3) + abs(-0.5)", "3.5"),
        ("round(2.5) + round(-2.5)", "0.0"),
        ("round(3.14159, 2)", "3.14"),
        ("round(a, 2)", "7"),
        ("coalesce(absent, n, a, 1 + 'x')", "7"),
        ("coalesce(absent, n)", "null"),
        ("substr(s, 2)", r#""rün""#),
        ("substring(s, 1, 2)", r#""Gr""#),
        ("trim('  x ')", r#""x""#),
    ] {
        assert_eq!(value(expr, DOCUMENT), Ok(Some(json(expected))), "{expr}");
    }
    // A missing value is none, not null.
    for expr in [
        "absent",
        "tags[9]",
        "place.city.x",
        "CASE WHEN t THEN absent END",
    ] {
        assert_eq!(value(expr, DOCUMENT), Ok(None), "{expr}");
    }
}

/// Goal: NOT, AND and OR follow the truth tables of three-valued logic, with null, missing and a non-bool as unknown.
#[test]
fn logic_is_three_valued() {
    let tables = [
        ("true", "true", "true", "true"),
        ("true", "false", "false", "true"),
        ("true", "null", "null", "true"),
        ("false", "true", "false", "true"),
        ("false", "false", "false", "false"),
        ("false", "null", "false", "null"),
        ("null", "true", "null", "true"),
        ("null", "false", "false", "null"),
        ("null", "null", "null", "null"),
    ];
    for (left, right, and, or) in tables {
        assert_eq!(
            value(&format!("{left} AND {right}"), "{}"),
            Ok(Some(json(and)))
        );
        assert_eq!(
            value(&format!("{left} OR {right}"), "{}"),
            Ok(Some(json(or)))
        );
        for unknown in ["absent", "text"] {
            let (left, right) = (
                left.replace("null", unknown),
                right.replace("null", unknown),
            );
            let document = r#"{"text": "true"}"#;
            assert_eq!(
                value(&format!("{left} AND {right}"), document)
                    .unwrap()
                    .unwrap_or(json("null")),
                json(and)
            );
            assert_eq!(
                value(&format!("{left} OR {right}"), document)
                    .unwrap()
                    .unwrap_or(json("null")),
                json(or)
            );
        }
    }
    for (operand, not) in [
        ("true", "false"),
        ("false", "true"),
        ("null", "null"),
        ("absent", "null"),
    ] {
        assert_eq!(value(&format!("NOT {operand}"), "{}"), Ok(Some(json(not))));
    }
    assert_eq!(
        value("NOT a = 1 AND b = 2", r#"{"a":2,"b":2}"#),
        Ok(Some(json("true")))
    );
    assert_eq!(value("NOT NOT true", "{}"), Ok(Some(json("true"))));
    assert_eq!(
        value("false OR true AND false", "{}"),
        Ok(Some(json("false")))
    );
}

/// Goal: what cannot be represented is an error at its place, not a wrong number.
#[test]
fn evaluation_errors_point_at_their_place() {
    for (expr, column, reason) in [
        ("1 + max * 2", 16, "does not fit a 64-bit integer"),
        ("max + 1", 12, "9223372036854775807 + 1"),
        ("min / -1", 12, "does not fit"),
        ("-min", 8, "does not fit"),
        ("abs(min)", 8, "does not fit"),
        ("1e308 * 10", 14, "too large for a float"),
        ("s LIKE '!a' ESCAPE '!'", 15, "escape character"),
        ("round(f, 99)", 8, "0 to 15"),
        ("substr(s, 1, -1)", 8, "-1 characters"),
        ("a IN 5", 13, "IN looks into a list"),
        ("s LIKE 5", 15, "LIKE takes a string"),
        ("a = :p", 12, "has no value"),
    ] {
        let error = value(expr, DOCUMENT).unwrap_err();
        assert!(error.message.contains(reason), "{expr}: {error}");
        assert_eq!(
            (error.line, error.column),
            (Some(1), Some(column)),
            "{expr}: {error}"
        );
    }
}

proptest! {
    /// Goal: integer arithmetic is exact or an error.
    #[test]
    fn integers_are_exact(a in any::<i64>(), b in any::<i64>()) {
        let document = format!(r#"{{"a":{a},"b":{b}}}"#);
        for (operator, exact) in [
            ("+", i128::from(a) + i128::from(b)),
            ("-", i128::from(a) - i128::from(b)),
            ("*", i128::from(a) * i128::from(b)),
        ] {
            let found = value(&format!("a {operator} b"), &document);
            match i64::try_from(exact) {
                Ok(exact) => prop_assert_eq!(found, Ok(Some(exact.into()))),
                Err(_) => prop_assert!(found.is_err()),
            }
        }
    }
}
