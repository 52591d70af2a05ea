//! Which HTTP function a path belongs to: ASP.NET route templates, as far as functions use them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::function_json::{Function, Trigger};

/// The routes of all HTTP functions.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    segments: Vec<Segment>,
    methods: Vec<String>,
    function: Arc<Function>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// In lower case: routes have no case.
    Literal(String),
    Parameter {
        name: String,
        constraint: Option<String>,
        optional: bool,
    },
    /// The rest of the path, slashes included.
    CatchAll(String),
}

impl Routes {
    pub(crate) fn new<'a>(
        prefix: &str,
        functions: impl Iterator<Item = &'a Arc<Function>>,
    ) -> Self {
        let mut routes: Vec<Route> = functions
            .filter_map(|function| {
                let Trigger::Http(trigger) = &function.trigger else {
                    return None;
                };
                let path = format!("{prefix}/{}", trigger.route);
                Some(Route {
                    segments: split(&path).map(Segment::parse).collect(),
                    methods: trigger.methods.clone(),
                    function: Arc::clone(function),
                })
            })
            .collect();
        // Literals before parameters, parameters before the rest of the path.
        routes.sort_by(|a, b| a.segments.cmp(&b.segments));
        Self(routes)
    }

    /// The function and the route's parameters. A path of one function with a method of another is no match, and no match is a 404,
    /// not a 405: so the real host answers.
    pub(crate) fn find(
        &self,
        method: &str,
        path: &str,
    ) -> Option<(&Arc<Function>, BTreeMap<String, String>)> {
        self.0
            .iter()
            .filter(|route| {
                route.methods.is_empty() || route.methods.iter().any(|one| one == method)
            })
            .find_map(|route| Some((&route.function, route.matches(path)?)))
    }
}

impl Route {
    fn matches(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let mut parameters = BTreeMap::new();
        let mut parts = split(path);
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => {
                    let part = percent_decoded(parts.next()?);
                    if part.to_lowercase() != *literal {
                        return None;
                    }
                }
                Segment::Parameter {
                    name,
                    constraint,
                    optional,
                } => match parts.next().map(percent_decoded) {
                    Some(part)
                        if constraint
                            .as_deref()
                            .is_none_or(|constraint| holds(constraint, &part)) =>
                    {
                        parameters.insert(name.clone(), part);
                    }
                    None if *optional => {}
                    _ => return None,
                },
                Segment::CatchAll(name) => {
                    let rest: Vec<_> = parts.by_ref().map(percent_decoded).collect();
                    parameters.insert(name.clone(), rest.join("/"));
                }
            }
        }
        parts.next().is_none().then_some(parameters)
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        let Some(inner) = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
        else {
            return Self::Literal(text.to_lowercase());
        };
        if let Some(name) = inner.strip_prefix('*') {
            return Self::CatchAll(name.trim_start_matches('*').to_owned());
        }
        let (inner, optional) = inner
            .strip_suffix('?')
            .map_or((inner, false), |inner| (inner, true));
        let (name, constraint) = match inner.split_once(':') {
            Some((name, constraint)) => (name, Some(constraint.to_lowercase())),
            None => (inner, None),
        };
        Self::Parameter {
            name: name.to_owned(),
            constraint,
            optional,
        }
    }
}

/// Constraints that are not known here hold for everything.
fn holds(constraint: &str, value: &str) -> bool {
    match constraint {
        "int" => value.parse::<i32>().is_ok(),
        "long" => value.parse::<i64>().is_ok(),
        "bool" => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
        "alpha" => value.bytes().all(|byte| byte.is_ascii_alphabetic()),
        "guid" => uuid::Uuid::parse_str(value).is_ok(),
        _ => true,
    }
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// What is not a percent-encoded byte stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes
            .get(index + 1..index + 3)
            .filter(|_| bytes[index] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(byte) => {
                decoded.push(byte);
                index += 3;
            }
            None => {
                decoded.push(bytes[index]);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::host::function_json::HttpTrigger;

    fn routes(routes: &[(&str, &str, &[&str])]) -> Routes {
        let functions: Vec<_> = routes
            .iter()
            .map(|(name, route, methods)| {
                Arc::new(Function {
                    name: (*name).to_owned(),
                    trigger: Trigger::Http(HttpTrigger {
                        binding: "request".to_owned(),
                        route: (*route).to_owned(),
                        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
                        output: None,
                    }),
                    outputs: Vec::new(),
                    retry: None,
                    forwardable: true,
                })
            })
            .collect();
        Routes::new("api", functions.iter())
    }

    fn found(routes: &Routes, method: &str, path: &str) -> Option<(String, Vec<String>)> {
        let (function, parameters) = routes.find(method, path)?;
        Some((function.name.clone(), parameters.into_values().collect()))
    }

    #[test]
    fn a_literal_wins_over_a_parameter_and_a_parameter_over_the_rest() {
        let routes = routes(&[
            ("Rest", "{*path}", &[]),
            ("One", "drones/{id}", &["GET"]),
            ("Map", "drones/map", &["GET"]),
        ]);
        assert_eq!(found(&routes, "GET", "/api/Drones/Map").unwrap().0, "Map");
        assert_eq!(
            found(&routes, "GET", "/API/drones/d%201").unwrap(),
            ("One".to_owned(), vec!["d 1".to_owned()])
        );
        assert_eq!(
            found(&routes, "GET", "/api/a/b/c").unwrap(),
            ("Rest".to_owned(), vec!["a/b/c".to_owned()])
        );
        assert_eq!(found(&routes, "GET", "/drones/map"), None);
    }

    #[test]
    fn a_method_that_is_not_listed_is_no_match() {
        let routes = routes(&[("One", "drones/{id}", &["GET"])]);
        assert!(found(&routes, "GET", "/api/drones/1").is_some());
        assert!(found(&routes, "POST", "/api/drones/1").is_none());
    }

    #[test]
    fn optional_and_constrained_parameters_are_heeded() {
        let routes = routes(&[("Many", "drones/{id:int?}", &[])]);
        assert!(found(&routes, "GET", "/api/drones").is_some());
        assert!(found(&routes, "GET", "/api/drones/7").is_some());
        assert!(found(&routes, "GET", "/api/drones/seven").is_none());
        assert!(found(&routes, "GET", "/api/drones/7/8").is_none());
    }
}
