//! Queries over real data; the expected numbers were counted with another program.

use super::{Work, json, select};
use crate::value::Value;

fn airports() -> Vec<Value> {
    let text = include_str!("../../../../examples/data/airports.ndjson");
    text.lines().map(json).collect()
}

#[test]
fn counts_agree() {
    let airports = airports();
    for (condition, expected) in [
        ("true", 3376),
        ("place.state = 'TX'", 209),
        ("location.latitude > 60", 160),
        ("name LIKE '%International%'", 124),
        ("lower(name) LIKE '%port%'", 60),
        ("location.latitude BETWEEN 30 AND 31", 90),
        ("place.state IN ('TX', 'CO', 'NY')", 355),
        ("place.state NOT IN ('TX', 'CO', 'NY')", 3021),
        ("length(name) > 30", 81),
        ("NOT place.country = 'USA'", 4),
        ("elevation IS MISSING", 3376),
        ("elevation = 0 OR elevation <> 0", 0),
    ] {
        let query = select(&format!(
            "SELECT COUNT(*) AS n FROM airports WHERE {condition}"
        ));
        let rows = query.rows(airports.clone(), &Work::default()).unwrap();
        assert_eq!(
            rows,
            [json(&format!(r#"{{"n":{expected}}}"#))],
            "{condition}"
        );
    }
}

#[test]
fn rows_agree() {
    for (text, expected) in [
        (
            "SELECT _id FROM airports WHERE place.state = 'TX' LIMIT 5",
            r#"[{"_id":"00R"},{"_id":"05F"},{"_id":"07F"},{"_id":"0F2"},{"_id":"11R"}]"#,
        ),
        (
            "SELECT * FROM airports WHERE _id = '00M'",
            r#"[{"_id":"00M","location":{"latitude":31.95376472,"longitude":-89.23450472},"name":"Thigpen","place":{"city":"Bay Springs","country":"USA","state":"MS"}}]"#,
        ),
        (
            "SELECT _id, location.latitude AS north FROM airports ORDER BY north DESC LIMIT 2",
            r#"[{"_id":"BRW","north":71.2854475},{"_id":"AWI","north":70.638}]"#,
        ),
        (
            "SELECT place.state, COUNT(*) AS n FROM airports GROUP BY place.state HAVING COUNT(*) > 100 ORDER BY n DESC",
            r#"[{"n":263,"state":"AK"},{"n":209,"state":"TX"},{"n":205,"state":"CA"},{"n":102,"state":"OK"}]"#,
        ),
        (
            "SELECT COUNT(DISTINCT place.state) AS states, MIN(location.latitude) AS south, round(AVG(location.latitude), 6) AS mean FROM airports",
            r#"[{"mean":40.036524,"south":7.367222,"states":57}]"#,
        ),
    ] {
        let rows = select(text).rows(airports(), &Work::default()).unwrap();
        assert_eq!(Value::List(rows).to_string(), expected, "{text}");
    }
}
