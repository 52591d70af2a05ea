//! Which HTTP function a path belongs to: ASP.NET route templates, as far as functions use them.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

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

#[derive(Debug)]
enum Segment {
    /// In lower case: routes have no case.
    Literal(String),
    Parameter {
        name: String,
        constraint: Option<Constraint>,
        optional: bool,
    },
    /// The rest of the path, slashes included.
    CatchAll(String),
}

#[derive(Debug)]
enum Constraint {
    Int,
    Long,
    Bool,
    Alpha,
    Guid,
    Regex(Box<Regex>),
    /// Not known here: it holds for everything.
    Unknown,
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
        routes.sort_by_cached_key(|route| {
            route.segments.iter().map(Segment::rank).collect::<Vec<_>>()
        });
        Self(routes)
    }

    /// The function and the route's parameters, for a path as [`routed_path`](super::target::routed_path) has it. A path of one function
    /// with a method of another is no match, and no match is a 404, not a 405: so the real host answers.
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
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        // A slash at the end makes no difference; one too many elsewhere does.
        if path.split('/').any(str::is_empty) {
            return None;
        }
        let mut parts = path.split('/');
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => {
                    if parts.next()?.to_lowercase() != *literal {
                        return None;
                    }
                }
                Segment::Parameter {
                    name,
                    constraint,
                    optional,
                } => match parts.next() {
                    Some(part)
                        if constraint
                            .as_ref()
                            .is_none_or(|constraint| constraint.holds(part)) =>
                    {
                        parameters.insert(name.clone(), part.to_owned());
                    }
                    None if *optional => {}
                    _ => return None,
                },
                Segment::CatchAll(name) => {
                    let rest: Vec<_> = parts.by_ref().collect();
                    parameters.insert(name.clone(), rest.join("/"));
                }
            }
        }
        parts.next().is_none().then_some(parameters)
    }
}

impl Segment {
    /// The order in which routes are tried, segment by segment. Names break ties, so that it is the same on every machine.
    fn rank(&self) -> (u8, String) {
        match self {
            Self::Literal(text) => (0, text.clone()),
            Self::Parameter {
                name,
                constraint: Some(_),
                ..
            } => (1, name.clone()),
            Self::Parameter { name, .. } => (2, name.clone()),
            Self::CatchAll(name) => (3, name.clone()),
        }
    }

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
            Some((name, constraint)) => (name, Some(Constraint::parse(constraint))),
            None => (inner, None),
        };
        Self::Parameter {
            name: name.to_owned(),
            constraint,
            optional,
        }
    }
}

impl Constraint {
    fn parse(text: &str) -> Self {
        let expression = text
            .strip_prefix("regex(")
            .and_then(|text| text.strip_suffix(')'));
        if let Some(expression) = expression {
            // Braces are doubled in a route. ASP.NET's expressions of a route have no case.
            let expression = expression.replace("{{", "{").replace("}}", "}");
            return RegexBuilder::new(&expression)
                .case_insensitive(true)
                .build()
                .map_or(Self::Unknown, |regex| Self::Regex(Box::new(regex)));
        }
        match text.to_lowercase().as_str() {
            "int" => Self::Int,
            "long" => Self::Long,
            "bool" => Self::Bool,
            "alpha" => Self::Alpha,
            "guid" => Self::Guid,
            _ => Self::Unknown,
        }
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Int => value.parse::<i32>().is_ok(),
            Self::Long => value.parse::<i64>().is_ok(),
            Self::Bool => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Self::Alpha => value.bytes().all(|byte| byte.is_ascii_alphabetic()),
            Self::Guid => uuid::Uuid::parse_str(value).is_ok(),
            Self::Regex(regex) => regex.is_match(value),
            Self::Unknown => true,
        }
    }
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
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
            found(&routes, "GET", "/API/drones/d 1").unwrap(),
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

    #[test]
    fn several_parameters_may_be_optional() {
        let routes = routes(&[("Many", r"insights/{what?}/{id:regex(^[^\x23]+\z)?}", &[])]);
        for (path, parameters) in [
            ("/api/insights", 0),
            ("/api/insights/days", 1),
            ("/api/insights/days/7", 2),
        ] {
            assert_eq!(
                found(&routes, "GET", path).unwrap().1.len(),
                parameters,
                "{path}"
            );
        }
        for path in ["/api/insights/days/7#", "/api/insights/days/7/8"] {
            assert!(found(&routes, "GET", path).is_none(), "{path}");
        }
    }

    #[test]
    fn an_expression_is_heeded_and_goes_before_none() {
        let routes = routes(&[
            ("Rest", "drones/{any}", &[]),
            ("Plain", r"drones/{id:regex(^[^\x23]{{2,}}\z)}", &[]),
        ]);
        for (path, function) in [
            ("/api/drones/ab", "Plain"),
            ("/api/drones/a", "Rest"),
            ("/api/drones/a#b", "Rest"),
        ] {
            assert_eq!(found(&routes, "GET", path).unwrap().0, function, "{path}");
        }
    }

    #[test]
    fn one_slash_at_the_end_is_nothing_and_two_anywhere_are_too_many() {
        let routes = routes(&[("Map", "map/{*file}", &[])]);
        assert!(found(&routes, "GET", "/api/map/").is_some());
        for path in ["/api//map", "/api/map//x", "/api/map//", "//"] {
            assert!(found(&routes, "GET", path).is_none(), "{path}");
        }
    }
}
