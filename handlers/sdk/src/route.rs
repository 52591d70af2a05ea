//! From the route of an httpTrigger to paths of axum.

use axum::http::Method;
use axum::routing::MethodFilter;

use crate::definition::DefinitionProblem;
use crate::function_json::FunctionConfig;

/// The paths under which a forwarded HTTP function is reached: one more for each optional parameter at the end.
///
/// The host has checked the constraints of a route (`{id:int}`) before it forwards a request, so they
/// are left out here.
pub(crate) fn paths(
    prefix: &str,
    function: &FunctionConfig,
) -> Result<Vec<String>, DefinitionProblem> {
    let route = function
        .trigger
        .get("route")
        .filter(|route| !route.is_empty());
    let route = route.unwrap_or(&function.name).trim_matches('/');
    let wrong = |why: &str| DefinitionProblem::Route(route.to_owned(), why.to_owned());
    let mut path = String::new();
    if !prefix.is_empty() {
        path.push('/');
        path.push_str(prefix);
    }
    let segments = segments(route);
    // Where a path may end that leaves parameters out.
    let mut ends = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match segment_kind(segment).map_err(wrong)? {
            Segment::Literal(_) if !ends.is_empty() => {
                return Err(wrong("no fixed part may follow an optional parameter"));
            }
            Segment::Literal(text) => {
                path.push('/');
                path.push_str(text);
            }
            Segment::Parameter { name, optional } => {
                if optional {
                    ends.push(path.len());
                } else if !ends.is_empty() {
                    return Err(wrong("only optional parameters may follow an optional one"));
                }
                path.push_str(&format!("/{{{name}}}"));
            }
            Segment::CatchAll(_) if !last => {
                return Err(wrong("a catch-all parameter must come last"));
            }
            Segment::CatchAll(name) => {
                // To the host it may be empty; to axum it may not.
                ends.push(path.len());
                path.push_str(&format!("/{{*{name}}}"));
            }
        }
    }
    let shorter = ends.into_iter().map(|end| match end {
        0 => "/".to_owned(),
        end => path[..end].to_owned(),
    });
    Ok(shorter.chain([path.clone()]).collect())
}

/// The paths of all forwarded functions, to bring what was sent into their form.
///
/// The host's routes have no case and take a slash at the end, and the host forwards a path as it was sent; axum's are exact.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths(Vec<Vec<Part>>);

/// In the order in which a segment is held against them, as the host does it: what is fixed goes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Parameter,
    Rest,
}

impl Paths {
    /// Of paths as [`paths`] makes them.
    pub(crate) fn new<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let part = |segment: &str| match segment.strip_prefix('{') {
            Some(name) if name.starts_with('*') => Part::Rest,
            Some(_) => Part::Parameter,
            None => Part::Literal(segment.to_owned()),
        };
        let mut all: Vec<Vec<Part>> = paths
            .map(|path| path.trim_start_matches('/').split('/').map(part).collect())
            .collect();
        all.sort();
        Self(all)
    }

    /// The path that axum knows a request's path by; `None` where it is the same, or where nothing matches.
    pub(crate) fn canonical(&self, path: &str) -> Option<String> {
        let known = self.0.iter().find_map(|parts| matched(parts, path))?;
        (known != path).then_some(known)
    }
}

fn matched(parts: &[Part], path: &str) -> Option<String> {
    let mut rest = Some(path.strip_prefix('/')?);
    let mut known = String::with_capacity(path.len());
    for part in parts {
        let left = rest.filter(|left| !left.is_empty())?;
        let (segment, after) = match left.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (left, None),
        };
        known.push('/');
        match part {
            Part::Literal(literal) if literal.eq_ignore_ascii_case(segment) => {
                known.push_str(literal);
            }
            Part::Literal(_) => return None,
            Part::Parameter if segment.is_empty() => return None,
            Part::Parameter => known.push_str(segment),
            Part::Rest => {
                known.push_str(left);
                return Some(known);
            }
        }
        rest = after;
    }
    // Nothing is left, or the slash at the end.
    rest.is_none_or(str::is_empty).then_some(known)
}

/// The methods of an httpTrigger; `None` where it takes all of them.
pub(crate) fn methods(
    function: &FunctionConfig,
) -> Result<Option<MethodFilter>, DefinitionProblem> {
    let mut filter: Option<MethodFilter> = None;
    for name in function.trigger.list("methods") {
        let unknown = || DefinitionProblem::Method(name.to_owned());
        let upper = name.to_ascii_uppercase();
        let method = Method::from_bytes(upper.as_bytes()).map_err(|_| unknown())?;
        let one = MethodFilter::try_from(method).map_err(|_| unknown())?;
        filter = Some(filter.map_or(one, |others| others.or(one)));
    }
    Ok(filter)
}

enum Segment<'a> {
    Literal(&'a str),
    Parameter { name: &'a str, optional: bool },
    CatchAll(&'a str),
}

/// Splits at slashes, but not at those inside braces: a constraint may hold a regular expression.
fn segments(route: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    route
        .split(move |character| {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            character == '/' && depth == 0
        })
        .filter(|segment| !segment.is_empty())
        .collect()
}

fn segment_kind(segment: &str) -> Result<Segment<'_>, &'static str> {
    if !segment.contains(['{', '}']) {
        return Ok(Segment::Literal(segment));
    }
    let inner = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or("a parameter must be a whole segment")?;
    let (inner, catch_all) = match inner.trim_start_matches('*') {
        name if name.len() < inner.len() => (name, true),
        name => (name, false),
    };
    let name = inner.split([':', '=', '?']).next().unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("a parameter's name consists of letters, digits and `_`");
    }
    let defaults = inner
        .split(':')
        .next()
        .is_some_and(|head| head.contains('='));
    Ok(if catch_all {
        Segment::CatchAll(name)
    } else {
        Segment::Parameter {
            name,
            optional: inner.ends_with('?') || defaults,
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn function(route: &str) -> FunctionConfig {
        let json = serde_json::json!({"bindings": [
            {"type": "httpTrigger", "direction": "in", "name": "req", "route": route, "methods": ["get", "PUT"]},
            {"type": "http", "direction": "out", "name": "res"},
        ]});
        FunctionConfig::parse("GetDrone", &json.to_string()).unwrap()
    }

    #[test]
    fn routes_become_paths() {
        for (route, expected) in [
            ("drones/{deviceId}", vec!["/api/drones/{deviceId}"]),
            ("/drones/", vec!["/api/drones"]),
            ("", vec!["/api/GetDrone"]),
            ("drones/{id:alpha}/x", vec!["/api/drones/{id}/x"]),
            (r"drones/{id:regex(^a/\d{{3}}$)}", vec!["/api/drones/{id}"]),
            ("drones/{id?}", vec!["/api/drones", "/api/drones/{id}"]),
            ("drones/{id:int?}", vec!["/api/drones", "/api/drones/{id}"]),
            ("drones/{id=all}", vec!["/api/drones", "/api/drones/{id}"]),
            ("map/{*rest}", vec!["/api/map", "/api/map/{*rest}"]),
            (
                "a/{b?}/{c:int?}/{*d}",
                vec![
                    "/api/a",
                    "/api/a/{b}",
                    "/api/a/{b}/{c}",
                    "/api/a/{b}/{c}/{*d}",
                ],
            ),
            ("map/{**rest}", vec!["/api/map", "/api/map/{*rest}"]),
        ] {
            assert_eq!(paths("api", &function(route)).unwrap(), expected, "{route}");
        }
        assert_eq!(paths("", &function("{id?}")).unwrap(), ["/", "/{id}"]);
    }

    #[test]
    fn a_path_is_known_in_any_case_and_with_a_slash_at_its_end() {
        let paths = Paths::new(
            [
                "/api/drones/{id}",
                "/api/drones",
                "/api/drones/all",
                "/api/map",
                "/api/map/{*file}",
                "/",
            ]
            .into_iter(),
        );
        for (sent, known) in [
            ("/API/Drones", "/api/drones"),
            ("/api/drones/", "/api/drones"),
            ("/api/DRONES/Drone-1/", "/api/drones/Drone-1"),
            ("/api/drones/ALL", "/api/drones/all"),
            ("/api/map/", "/api/map"),
            ("/Api/map/Icon.svg", "/api/map/Icon.svg"),
            ("/api/Map/a/b/", "/api/map/a/b/"),
        ] {
            assert_eq!(paths.canonical(sent).as_deref(), Some(known), "{sent}");
        }
        for same in [
            "/api/drones",
            "/api/drones/d%2F1",
            "/api/map/a",
            "/api/nothing/",
            "/api//drones",
            "/api/drones//",
            "/api/drones/a/b",
            "/",
            "",
            "*",
        ] {
            assert_eq!(paths.canonical(same), None, "{same}");
        }
    }

    #[test]
    fn routes_that_axum_cannot_serve_are_refused() {
        for route in [
            "a{id}",
            "{id}.json",
            "{*rest}/x",
            "{id?}/x",
            "{a?}/{b}",
            "{}",
            "{a-b}",
        ] {
            assert!(paths("api", &function(route)).is_err(), "{route}");
        }
    }

    #[test]
    fn methods_are_read_in_any_case() {
        let filter = methods(&function("x")).unwrap();
        assert_eq!(filter, Some(MethodFilter::GET.or(MethodFilter::PUT)));
    }
}
