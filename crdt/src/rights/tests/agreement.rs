//! Random rules over random documents: they mean what WHERE means, wherever and by whomever they are evaluated.

use super::*;
use crate::query::{Params, Statement, Work};
use proptest::prelude::*;
use proptest::sample::select;

/// A value of a rule, of every type and with what can fail.
fn operand(paths: &'static [&'static str]) -> impl Strategy<Value = String> {
    let literal = select(vec![
        "1",
        "2.5",
        "-7",
        "'berlin'",
        "'b%'",
        "''",
        "true",
        "NULL",
        ":shop",
        ":_name",
        "{'shop': 'berlin'}",
        "[1, 'berlin']",
        "9223372036854775807",
        "{'$timestamp': 5}",
    ]);
    let leaf = prop_oneof![
        2 => select(paths).prop_map(str::to_owned),
        1 => literal.prop_map(str::to_owned),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (
                inner.clone(),
                select(vec!["+", "-", "*", "/", "%", "||"]),
                inner.clone()
            )
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            (
                select(vec!["ABS", "LENGTH", "ROUND", "COALESCE"]),
                inner.clone()
            )
                .prop_map(|(function, a)| format!("{function}({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("SUBSTR({a}, {b})")),
        ]
    })
}

fn rule(paths: &'static [&'static str]) -> impl Strategy<Value = String> {
    let comparison = select(vec!["=", "<>", "<", ">=", "LIKE"]);
    let leaf = prop_oneof![
        4 => (operand(paths), comparison, operand(paths))
            .prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
        1 => (operand(paths), select(vec!["NULL", "MISSING", "NOT NULL"]))
            .prop_map(|(a, what)| format!("{a} IS {what}")),
        1 => (operand(paths), operand(paths), operand(paths))
            .prop_map(|(a, b, c)| format!("{a} IN ({b}, {c})")),
        1 => (operand(paths), operand(paths)).prop_map(|(a, b)| format!("{a} IN {b}")),
        1 => select(paths).prop_map(str::to_owned),
        1 => select(vec!["true", "false", "NULL"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("NOT ({a})")),
            (inner.clone(), select(vec!["AND", "OR"]), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
            (inner.clone(), inner)
                .prop_map(|(a, b)| format!("CASE WHEN {a} THEN {b} ELSE {a} END")),
        ]
    })
}

const ID_PATHS: &[&str] = &[
    "_id",
    "_id.shop",
    "_id.n",
    "_id.n[0]",
    "CONFLICTS(_id.shop)",
];
const PATHS: &[&str] = &[
    "_id", "_id.shop", "a", "b.c", "list[0]", "list", "text", "b",
];

fn ids() -> impl Strategy<Value = DocumentId> {
    let ids = [
        "\"berlin\"",
        "\"b\"",
        "\"7\"",
        r#"{"shop":"berlin"}"#,
        r#"{"shop":"paris","n":[1,null]}"#,
        r#"{"n":2.5,"shop":null}"#,
        r#"{"n":["berlin"],"shop":true}"#,
    ];
    select(ids.map(id).to_vec())
}

fn documents() -> impl Strategy<Value = Value> {
    let value = || {
        let json = [
            "1",
            "2.5",
            "-7",
            "\"berlin\"",
            "\"\"",
            "true",
            "null",
            "[1,\"berlin\"]",
            "[null]",
            r#"{"shop":"berlin"}"#,
            r#"{"$counter":1}"#,
            r#"{"$text":"berlin"}"#,
            r#"{"$bytes":"AP8="}"#,
            r#"{"$timestamp":5}"#,
            "9223372036854775807",
        ];
        prop::option::of(select(json.map(|json| parse_json(json).unwrap()).to_vec()))
    };
    (ids(), value(), value(), value(), value()).prop_map(|(id, a, c, list, text)| {
        let mut fields = BTreeMap::from([("_id".to_owned(), id.to_value())]);
        let b = c.map(|c| Value::Map([("c".to_owned(), c)].into()));
        let given = [("a", a), ("b", b), ("list", list), ("text", text)];
        fields.extend(
            given
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
        Value::Map(fields)
    })
}

/// What `SELECT … WHERE rule` says; an error selects nothing.
fn selects(rule: &str, document: &Value) -> bool {
    let mut params = Params::from([
        ("shop".to_owned(), Value::from("berlin")),
        ("_name".to_owned(), Value::from("till-1")),
    ]);
    params.retain(|name, _| rule.contains(&format!(":{name}")));
    let Ok(Statement::Select(select)) =
        Statement::parse(&format!("SELECT * FROM c WHERE {rule}")).and_then(|it| it.bind(&params))
    else {
        return false;
    };
    let rows = select.rows([document.clone()], &Work::default());
    rows.is_ok_and(|rows| rows.len() == 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Goal: a document may be read exactly where `SELECT … WHERE rule` selects it, decoded or as it is stored.
    #[test]
    fn reading_agrees_with_where(rule in rule(PATHS), document in documents()) {
        let access = access(&[reader(&[&rule])]);
        let gives = access.may_read("c", &document);
        prop_assert_eq!(gives, selects(&rule, &document));
        prop_assert_eq!(gives, access.may_read_encoded("c", &document.encode()));
    }

    /// Goal: whether a document may be written follows from its id: as WHERE decides of a document that is nothing else, and
    /// the same each time it is compiled and asked.
    #[test]
    fn writing_agrees_with_where(rule in rule(ID_PATHS), id in ids()) {
        let certificate = writer(&[&rule], &[("shop", "berlin")]);
        let access = access(std::slice::from_ref(&certificate));
        let may = access.may_write("c", &id);
        let document = Value::Map([("_id".to_owned(), id.to_value())].into());
        prop_assert_eq!(may.is_ok(), selects(&rule, &document));
        let again = super::access(&[certificate]);
        prop_assert_eq!(again.may_write("c", &id), may.clone());
        prop_assert_eq!(access.may_write("c", &id), may);
    }

    /// Goal: a chain gives what every certificate of it gives, so that a child never gets more than its parent; several rules
    /// give what one of them does.
    #[test]
    fn a_child_never_gets_more(
        child in prop::collection::vec(rule(ID_PATHS), 0..3),
        parent in prop::collection::vec(rule(ID_PATHS), 0..3),
        document in documents(),
    ) {
        let document_id = DocumentId::new(document.get("_id").unwrap()).unwrap();
        let verdicts = |chain: &[&Vec<String>]| {
            let chain: Vec<Certificate> = chain.iter().map(|rules| {
                let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
                let claims = [("shop", "berlin")];
                certificate(request("till-1", rights(&rules), rights(&rules), &claims))
            }).collect();
            let access = access(&chain);
            (access.may_read("c", &document), access.may_write("c", &document_id).is_ok())
        };
        let (c, p, both) = (verdicts(&[&child]), verdicts(&[&parent]), verdicts(&[&child, &parent]));
        prop_assert_eq!(both, (c.0 && p.0, c.1 && p.1));
        prop_assert_eq!(both, verdicts(&[&parent, &child]));
        let any = child.iter().any(|rule| verdicts(&[&vec![rule.clone()]]).1);
        prop_assert_eq!(c.1, any);
    }
}
