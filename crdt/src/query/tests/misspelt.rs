//! One wrong letter in a keyword or a function's name is an error at its place, in every clause; or it leaves a statement
//! that means the same. Never a silently different one.

use super::super::aggregate::AggregateFunction;
use super::super::functions::FUNCTIONS;
use super::Statement;

/// Statements that use every keyword and function, one beside the other. Words in capitals are the language's.
const STATEMENTS: [&str; 24] = [
    "SELECT DISTINCT a AS x, b FROM c WHERE a = 1 AND NOT b = 2 OR a IS NOT NULL ORDER BY x DESC, b ASC LIMIT 5 OFFSET 2",
    "SELECT * FROM c WHERE a IS MISSING AND b NOT IN (1, 2) AND a IN b AND a NOT BETWEEN 1 AND 2",
    "SELECT a FROM c WHERE b LIKE '!%x' ESCAPE '!' OR b NOT LIKE 'y' OR a = TRUE OR a = FALSE OR a IS NULL",
    "SELECT CASE WHEN a = 1 THEN 2 WHEN b = 2 THEN 3 ELSE 4 END AS x, CASE a WHEN 1 THEN 2 END AS y FROM c",
    "SELECT a, COUNT(*) AS n, SUM(DISTINCT b) AS s FROM c GROUP BY a HAVING MIN(b) > 1 AND MAX(b) < 2 AND AVG(b) = 3",
    "SELECT ABS(a) AS x, LENGTH(b) AS l FROM c WHERE ROUND(a, 1) = 1 AND LOWER(b) = UPPER(a)",
    "SELECT COALESCE(a, b, 1) AS x FROM c ORDER BY SUBSTR(a, 1), SUBSTRING(b, 1, 2), TRIM(a) LIMIT 1",
    "INSERT INTO c DOCUMENTS ({'_id': 'x', 'a': LOWER('A')}) ON ID CONFLICT DO FAIL",
    "INSERT INTO c DOCUMENTS ({'_id': 'x'}) ON ID CONFLICT DO NOTHING",
    "INSERT INTO c DOCUMENTS ({'_id': 'x'}) ON ID CONFLICT DO UPDATE",
    "UPDATE c SET a = UPPER(b), d = CASE WHEN a = 1 THEN TRIM(b) END UNSET e, f WHERE a = 1 AND LENGTH(b) > 2",
    "DELETE FROM c WHERE a = 1 AND b BETWEEN ABS(a) AND 3",
    "INSERT INTO c DOCUMENTS ({'_id': 'x'}) ON ID CONFLICT DO MERGE RETURNING a, LENGTH(CONFLICTS(b)) AS n",
    "UPDATE c SET a = 1 APPLY n INCREMENT BY 2, m INCREMENT BY ABS(a) UNSET b WHERE d = 1 LIMIT 3 RETURNING *",
    "DELETE FROM c WHERE a = 1 LIMIT 2 RETURNING UPPER(a) AS u",
    "SELECT a FROM c AS OF '-1 hour' WHERE b = 1 ORDER BY a LIMIT 2",
    "EVICT FROM c WHERE a = 1 LIMIT 2 RETURNING *",
    "HISTORY OF 'x' FROM c ORDER BY time DESC LIMIT 2 OFFSET 1",
    "REVERT c TO '-1 hour' WHERE a = 1",
    "CREATE INDEX IF NOT EXISTS i ON c (a DESC, b ASC)",
    "DROP INDEX IF EXISTS i ON c",
    "SHOW INDEXES FROM c",
    "SHOW COLLECTIONS",
    "EXPLAIN ANALYZE SELECT * FROM c",
];

/// The words of the language in a statement: where each begins and ends. All else is in small letters or quotes.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut start, mut quoted) = (None, false);
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        quoted ^= character == '\'';
        match (start, character.is_ascii_uppercase() && !quoted) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// Every word that is one edit away: a letter left out, put in, replaced, or swapped with the next.
fn edits(word: &str) -> Vec<String> {
    let letters = || ('A'..='Z').chain(['_']);
    let mut found = Vec::new();
    for at in 0..=word.len() {
        let (head, tail) = word.split_at(at);
        found.extend(letters().map(|letter| format!("{head}{letter}{tail}")));
        let mut rest = tail.chars();
        let Some(first) = rest.next() else { continue };
        found.push(format!("{head}{}", rest.as_str()));
        found.extend(letters().map(|letter| format!("{head}{letter}{}", rest.as_str())));
        if let Some(second) = rest.next() {
            found.push(format!("{head}{second}{first}{}", rest.as_str()));
        }
    }
    found.retain(|edited| edited != word);
    found
}

/// Whether a misspelt word is a field's name where it stands, and so no error that anybody could find.
fn may_be_a_field(word: &str) -> bool {
    ["TRUE", "FALSE"].contains(&word)
}

/// Goal: see above; and the error points into the statement.
#[test]
fn one_wrong_letter_is_an_error() {
    let (mut tried, mut silent) = (0, Vec::new());
    for text in STATEMENTS {
        let right = Statement::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for (from, until) in words(text) {
            let word = &text[from..until];
            for edited in edits(word) {
                let wrong = format!("{}{edited}{}", &text[..from], &text[until..]);
                tried += 1;
                match Statement::parse(&wrong) {
                    Ok(meant) if meant == right || may_be_a_field(word) => {}
                    Ok(_) => silent.push(wrong),
                    Err(error) => {
                        let column = error
                            .column
                            .unwrap_or_else(|| panic!("{wrong}: {error} has no place"));
                        let (column, length) = (column as usize, wrong.chars().count());
                        assert!((1..=length + 1).contains(&column), "{wrong}: {error}");
                    }
                }
            }
        }
    }
    assert!(
        silent.is_empty(),
        "no error, and another meaning: {silent:#?}"
    );
    assert!(tried > 10_000, "{tried}");
}

/// Goal: the statements above leave no function out.
#[test]
fn every_function_is_misspelt() {
    let all = STATEMENTS.concat();
    let names = FUNCTIONS
        .iter()
        .map(|(name, ..)| *name)
        .chain(AggregateFunction::NAMES);
    for name in names {
        assert!(
            all.contains(&format!("{name}(")),
            "{name} is in no statement"
        );
    }
}

/// Goal: with a wrong number of arguments every function is an error at its place, in every clause.
#[test]
fn a_wrong_number_of_arguments_is_an_error_everywhere() {
    for (name, _, fewest, most) in FUNCTIONS {
        let counts = [fewest.checked_sub(1), most.checked_add(1)];
        for count in counts.into_iter().flatten() {
            let call = format!("{name}({})", vec!["a"; count].join(", "));
            for (before, after) in [
                ("SELECT ", " AS x FROM c"),
                ("SELECT a FROM c WHERE ", " = 1"),
                ("SELECT COUNT(*) AS n FROM c GROUP BY ", ""),
                ("SELECT a FROM c GROUP BY a HAVING ", " = 1"),
                ("SELECT a FROM c ORDER BY ", " DESC"),
                ("UPDATE c SET a = ", ""),
                ("DELETE FROM c WHERE ", " = 1"),
                ("INSERT INTO c DOCUMENTS (", ")"),
            ] {
                let text = format!("{before}{call}{after}");
                let error = Statement::parse(&text).expect_err(&text);
                assert_eq!(
                    (error.line, error.column),
                    (Some(1), Some(before.len() as u32 + 1)),
                    "{text}: {error}"
                );
                assert!(
                    error.message.starts_with(&format!("{name} takes")),
                    "{text}: {error}"
                );
            }
        }
    }
}
