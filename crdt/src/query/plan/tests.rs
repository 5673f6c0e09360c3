//! Which ranges and orders candidates have.

use super::*;
use crate::query::{Params, Statement, path_text};

fn fields(texts: &[&str]) -> Vec<IndexField> {
    let field = |text: &&str| IndexField {
        path: text
            .trim_start_matches('-')
            .split('.')
            .map(str::to_owned)
            .collect(),
        descending: text.starts_with('-'),
    };
    texts.iter().map(field).collect()
}

/// What an index over these fields offers to a SELECT.
fn offered(index: &[&str], statement: &str) -> Option<Candidate> {
    let Statement::Select(select) = Statement::parse(statement)
        .unwrap()
        .bind(&Params::new())
        .unwrap()
    else {
        panic!("a SELECT");
    };
    let fields = fields(index);
    let index = PlannedIndex {
        fields: &fields,
        is_ordered: true,
    };
    candidates(select.filter(), &select.wanted(), &[index])
        .0
        .pop()
}

/// Goal: conditions bound the first fields of an index: points, then one range.
#[test]
fn conditions_bound_the_first_fields() {
    for (clause, bound, ranges, filtered) in [
        ("a = 1", 1, 1, false),
        ("1 = a AND b > 2", 2, 1, false),
        ("a > 1 AND b = 2", 1, 1, true),
        ("a > 1 AND a <= 5", 1, 1, false),
        ("a > 5 AND a < 1", 1, 0, false),
        ("a IN (1, 2, 2.0, 'x') AND b IN (1, 2)", 2, 6, false),
        ("(a = 1 OR a > 5) AND b = 1", 1, 2, true),
        ("a BETWEEN 1 AND 'x'", 1, 0, false),
        ("a LIKE 'ab%'", 1, 1, false),
        ("a LIKE 'a_%'", 1, 1, true),
        ("a LIKE 'ab'", 1, 1, false),
        ("a IS NULL AND b IS MISSING AND c.d", 3, 1, false),
        ("a = NULL", 1, 0, false),
        ("NOT a AND x = 1", 1, 1, true),
    ] {
        let found = offered(
            &["a", "b", "c.d"],
            &format!("SELECT * FROM c WHERE {clause}"),
        )
        .expect(clause);
        let told = (found.fields_bound, found.ranges.len(), found.is_filtered);
        assert_eq!(told, (bound, ranges, filtered), "{clause}: {}", found.text);
        let ascending = found
            .ranges
            .windows(2)
            .all(|pair| pair[0].end <= pair[1].start);
        assert!(
            ascending && found.ranges.iter().all(|range| range.start < range.end),
            "{clause}"
        );
    }
    for clause in [
        "b = 1",
        "a <> 1",
        "a NOT IN (1)",
        "a LIKE '%x'",
        "a = b",
        "a = 1 OR b = 1",
        "a[0] = 1",
        "a IS NOT NULL",
        "NOT (a = 1)",
        "a + 0 = 1",
        "LOWER(a) = 'x'",
        "'x' IN a",
        "a NOT BETWEEN 1 AND 2",
    ] {
        let found = offered(&["a", "b"], &format!("SELECT * FROM c WHERE {clause}"));
        assert_eq!(found, None, "{clause}");
    }
}

/// Goal: an index is walked in the order of ORDER BY only if equal rows come by id then, too.
#[test]
fn an_index_gives_the_order_of_exactly_its_fields() {
    use Walk::{Backward, Forward, Unordered};
    for (index, clauses, walk, sorts) in [
        (&["a"][..], "ORDER BY a", Forward, true),
        (&["a"], "ORDER BY a DESC LIMIT 3", Backward, true),
        (&["a", "b"], "ORDER BY a, b", Forward, true),
        (&["a", "-b"], "ORDER BY a DESC, b", Backward, true),
        (&["a", "b"], "WHERE a = 1 ORDER BY b DESC", Backward, true),
        (&["a", "b"], "WHERE a = 1 ORDER BY a, b", Forward, true),
        (&["a", "b"], "WHERE b = 1 ORDER BY a", Forward, true),
        (
            &["a", "b"],
            "WHERE a = 1 AND b > 2 ORDER BY b",
            Forward,
            true,
        ),
        (&["a"], "WHERE a = 1 ORDER BY a", Forward, true),
        (&["a"], "WHERE a = 1", Forward, false),
        (&["a"], "WHERE a IN (1, 2) ORDER BY a", Unordered, false),
        (&["a"], "WHERE a > 1", Unordered, false),
        (&["a", "b"], "WHERE a = 1 ORDER BY a", Unordered, false),
        (
            &["a", "b"],
            "WHERE a > 1 ORDER BY a, b DESC",
            Unordered,
            false,
        ),
        (&["a"], "WHERE a > 1 ORDER BY a, b", Unordered, false),
    ] {
        let found = offered(index, &format!("SELECT * FROM c {clauses}")).expect(clauses);
        assert_eq!(
            (found.walk, found.sorts),
            (walk, sorts),
            "{index:?} {clauses}"
        );
    }
    for statement in [
        "SELECT DISTINCT a FROM c ORDER BY a",
        "SELECT a, COUNT(*) AS n FROM c GROUP BY a ORDER BY a",
        "SELECT * FROM c ORDER BY LOWER(a)",
        "SELECT b AS a FROM c ORDER BY a",
        "SELECT a FROM c",
    ] {
        assert_eq!(offered(&["a"], statement), None, "{statement}");
    }
    let renamed = offered(&["a.b"], "SELECT a.b AS x FROM c ORDER BY x").unwrap();
    assert!(renamed.sorts);
}

/// Goal: combinations of many values stay within their bound; then fewer fields are used.
#[test]
fn ranges_are_bounded() {
    let many: Vec<String> = (0..INDEX_RANGES_MAX / 2 + 1)
        .map(|number| number.to_string())
        .collect();
    let many = many.join(", ");
    let statement = format!("SELECT * FROM c WHERE a IN ({many}) AND b IN (1, 2)");
    let found = offered(&["a", "b"], &statement).unwrap();
    assert_eq!(
        (found.fields_bound, found.ranges.len()),
        (1, INDEX_RANGES_MAX / 2 + 1)
    );
    assert!(found.is_filtered);
}

#[test]
fn paths_are_shown_as_they_are_written() {
    let text = |path: &[&str]| path_text(path);
    assert_eq!(text(&["place", "order"]), "place.order");
    assert_eq!(text(&["order"]), "\"order\"");
    assert_eq!(text(&["US Gross", "a\"b"]), "\"US Gross\".\"a\"\"b\"");
}
