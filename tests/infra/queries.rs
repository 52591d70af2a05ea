//! What the code asks Cosmos DB for, against its indexes.

use std::collections::BTreeSet;

use crate::provided::COSMOS_CONTAINERS;
use crate::sources;

/// Every path that a query names is in the index of a container, or it would be scanned for.
#[test]
fn what_queries_ask_for_is_indexed() {
    let template = sources::template();
    let mut indexed: BTreeSet<String> = BTreeSet::new();
    let mut written = BTreeSet::new();
    for container in template.of(COSMOS_CONTAINERS) {
        let policy = container
            .body
            .at("properties.resource.indexingPolicy")
            .unwrap();
        for list in ["includedPaths", "spatialIndexes"] {
            for path in policy.get(list).map(|list| list.list()).unwrap_or_default() {
                let path = path.get("path").unwrap().text().unwrap();
                let name = container.name().unwrap();
                assert!(
                    written.insert((name, path)),
                    "cosmos.bicep: {name} has {path} twice"
                );
                let path = path
                    .trim_end_matches(['?', '*', '/', '[', ']'])
                    .trim_start_matches('/');
                indexed.insert(path.replace('/', "."));
            }
        }
    }
    let code = sources::code();
    let mut asked: BTreeSet<String> = code
        .match_indices("c.")
        .filter_map(query_path(&code))
        .collect();
    assert!(
        !code.contains("WHERE c.") || !asked.is_empty(),
        "queries are no longer read"
    );
    // The partition key of `alerts`: it leads a query to its partition.
    asked.insert("deviceId".to_owned());
    // That of `drones` is given beside a query, not asked for in it; and `id` is always indexed.
    asked.remove("bucket");
    asked.remove("id");
    let missing: Vec<_> = asked.difference(&indexed).collect();
    assert!(
        missing.is_empty(),
        "infra/modules/cosmos.bicep does not index {missing:?}"
    );
    let idle: Vec<_> = indexed
        .difference(&asked)
        .filter(|path| !path.is_empty())
        .collect();
    assert!(
        idle.is_empty(),
        "each write pays for the index of {idle:?}, and no query uses it"
    );
}

/// The path after `c.` where that stands in a query, and is no method of a variable of that name.
fn query_path<'a>(code: &'a str) -> impl Fn((usize, &'a str)) -> Option<String> {
    move |(at, _)| {
        let (before, after) = (&code[..at], &code[at + 2..]);
        let line = before.rsplit('\n').next()?.to_owned() + after.lines().next()?;
        let path: String = after
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '.')
            .collect();
        let in_query = line.contains(['"', '@', '\\'])
            && !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
            && !after[path.len()..].starts_with(['(', '_', ':'])
            && path.starts_with(|letter: char| letter.is_ascii_lowercase());
        in_query.then(|| path.trim_end_matches('.').to_owned())
    }
}

#[test]
fn paths_are_read_from_queries_and_not_from_variables() {
    let code = r#"
        "SELECT * FROM c WHERE c.deviceId > @after \
         AND c.flight.status = @status",
        text.chars().all(|c| c.is_alphanumeric() || "-.".contains(c));
    "#;
    let paths: Vec<_> = code
        .match_indices("c.")
        .filter_map(query_path(code))
        .collect();
    assert_eq!(paths, ["deviceId", "flight.status"]);
}
