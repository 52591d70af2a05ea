//! Bicep files as plain data, read with tree-sitter: enough to ask what is declared, not to deploy it.

use std::collections::BTreeMap;
use std::path::Path;

use tree_sitter::{Node, Parser};

/// An expression, as far as it is known without deploying anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string; what is interpolated stays as `${…}`.
    Text(String),
    /// Any other expression, as it is written.
    Code(String),
    /// An array. Of a loop, its one pattern.
    List(Vec<Value>),
    /// An object, in its order.
    Map(Vec<(String, Value)>),
    /// One of these (`a ? b : c`), or all of them (`concat`): nothing here has to tell them apart.
    Several(Vec<Value>),
}

/// A `resource`.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The file's name, without folders and ending.
    pub module: String,
    pub symbol: String,
    /// The type without its version; of a nested resource, with its parent's type in front.
    pub kind: String,
    /// Only referred to.
    pub existing: bool,
    /// What must be so for it to be deployed.
    pub condition: Option<String>,
    pub body: Value,
    /// The symbol of the resource that it is declared in.
    pub outer: Option<String>,
}

/// A `param`.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub module: String,
    pub name: String,
    /// The first word of its type.
    pub kind: String,
    pub secure: bool,
    pub default: Option<Value>,
}

/// All Bicep files together.
#[derive(Debug, Clone, Default)]
pub struct Template {
    pub resources: Vec<Resource>,
    pub parameters: Vec<Parameter>,
    /// By module and name.
    pub variables: BTreeMap<(String, String), Value>,
    /// Values that `module` passes on, by module file and parameter.
    pub passed: BTreeMap<(String, String), Value>,
}

impl Value {
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// A path such as `properties.resource.id`.
    pub fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, key| value.get(key))
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Value] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Every key in it, at any depth, with its path.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        self.collect_keys("", &mut keys);
        keys
    }

    fn collect_keys(&self, path: &str, keys: &mut Vec<String>) {
        match self {
            Self::Map(entries) => {
                for (key, value) in entries {
                    let path = format!("{path}.{key}");
                    value.collect_keys(&path, keys);
                    keys.push(path);
                }
            }
            Self::List(items) | Self::Several(items) => {
                items.iter().for_each(|item| item.collect_keys(path, keys));
            }
            Self::Text(_) | Self::Code(_) => {}
        }
    }
}

impl Resource {
    pub fn name(&self) -> Option<&str> {
        self.body.get("name")?.text()
    }

    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    pub fn parent(&self) -> Option<&str> {
        self.outer
            .as_deref()
            .or_else(|| self.body.get("parent")?.code())
    }
}

impl Template {
    /// Reads `main.bicep` and every module beside it.
    pub fn read(folder: &Path) -> Self {
        let mut template = Self::default();
        template.add("main", &read(&folder.join("main.bicep")));
        for entry in std::fs::read_dir(folder.join("modules")).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
            template.add(&module, &read(&path));
        }
        template
    }

    /// Reads one file.
    ///
    /// # Panics
    /// Where the text is not Bicep.
    pub fn add(&mut self, module: &str, text: &str) {
        let mut parser = Parser::new();
        parser
            .set_language(&tree_sitter_bicep::LANGUAGE.into())
            .unwrap();
        let tree = parser.parse(text, None).unwrap();
        let root = tree.root_node();
        assert!(!root.has_error(), "{module}.bicep is not Bicep: {root}");
        let reader = Reader { module, text };
        let mut secure = false;
        for node in children(root) {
            match node.kind() {
                "decorators" => secure = reader.source(node).contains("@secure()"),
                "parameter_declaration" => {
                    self.parameters.push(reader.parameter(node, secure));
                    secure = false;
                }
                "variable_declaration" => {
                    let parts = children(node);
                    let name = reader.source(parts[0]).to_owned();
                    let value = reader.value(parts[parts.len() - 1]);
                    self.variables.insert((module.to_owned(), name), value);
                }
                "resource_declaration" => self.resource(&reader, node, None),
                "module_declaration" => self.module(&reader, node),
                _ => secure = false,
            }
        }
    }

    /// The resources of a type, without those that are only referred to.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        self.resources
            .iter()
            .filter(move |resource| resource.is(kind) && !resource.existing)
    }

    /// What a symbol of a module stands for.
    pub fn resource_of(&self, module: &str, symbol: &str) -> Option<&Resource> {
        self.resources
            .iter()
            .find(|resource| resource.module == module && resource.symbol == symbol)
    }

    /// A value with its variables, and parameters of a module, put in.
    pub fn resolve<'a>(&'a self, module: &str, value: &'a Value) -> &'a Value {
        let Value::Code(name) = value else {
            return value;
        };
        let key = (module.to_owned(), name.clone());
        if let Some(value) = self.variables.get(&key) {
            return self.resolve(module, value);
        }
        match self.passed.get(&key) {
            Some(value) => self.resolve("main", value),
            None => value,
        }
    }

    /// All items that a list can have, through variables, `concat`, conditions and loops.
    pub fn items<'a>(&'a self, module: &str, value: &'a Value) -> Vec<&'a Value> {
        match self.resolve(module, value) {
            Value::List(items) => items.iter().collect(),
            Value::Several(values) => values
                .iter()
                .flat_map(|value| self.items(module, value))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn resource(&mut self, reader: &Reader<'_>, node: Node<'_>, outer: Option<(&str, &str)>) {
        let parts = children(node);
        let symbol = reader.source(parts[0]).to_owned();
        let declared = reader.string(parts[1]);
        let kind = declared.split('@').next().unwrap().to_owned();
        let kind = match outer {
            Some((_, outer_kind)) => format!("{outer_kind}/{kind}"),
            None => kind,
        };
        let last = parts[parts.len() - 1];
        let each = match last.kind() {
            "for_statement" => last.child_by_field_name("body").unwrap(),
            _ => last,
        };
        let (condition, body) = match each.kind() {
            "if_statement" => {
                let inner = children(each);
                (Some(reader.source(inner[0]).to_owned()), inner[1])
            }
            _ => (None, each),
        };
        for property in children(body) {
            let inner = children(property);
            if inner
                .first()
                .is_some_and(|node| node.kind() == "resource_declaration")
            {
                self.resource(reader, inner[0], Some((&symbol, &kind)));
            }
        }
        let head = &reader.text[node.start_byte()..last.start_byte()];
        self.resources.push(Resource {
            module: reader.module.to_owned(),
            existing: head.contains(" existing "),
            symbol,
            kind,
            condition,
            body: reader.value(body),
            outer: outer.map(|(symbol, _)| symbol.to_owned()),
        });
    }

    fn module(&mut self, reader: &Reader<'_>, node: Node<'_>) {
        let parts = children(node);
        let path = reader.string(parts[1]);
        let module = Path::new(&path).file_stem().unwrap().to_str().unwrap();
        let last = parts[parts.len() - 1];
        let body = match last.kind() {
            "if_statement" => children(last)[1],
            _ => last,
        };
        if let Some(Value::Map(entries)) = reader.value(body).get("params") {
            for (name, value) in entries {
                self.passed
                    .insert((module.to_owned(), name.clone()), value.clone());
            }
        }
    }
}

struct Reader<'a> {
    module: &'a str,
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn source(&self, node: Node<'_>) -> &'a str {
        &self.text[node.byte_range()]
    }

    /// The text between the quotes.
    fn string(&self, node: Node<'_>) -> String {
        self.source(node).trim_matches('\'').to_owned()
    }

    fn parameter(&self, node: Node<'_>, secure: bool) -> Parameter {
        let parts = children(node);
        let last = parts[parts.len() - 1];
        Parameter {
            module: self.module.to_owned(),
            name: self.source(parts[0]).to_owned(),
            kind: self
                .source(node)
                .split_whitespace()
                .nth(2)
                .unwrap_or_default()
                .to_owned(),
            secure,
            default: (self.source(node).contains('=')).then(|| self.value(last)),
        }
    }

    fn value(&self, node: Node<'_>) -> Value {
        match node.kind() {
            "string" => Value::Text(self.string(node)),
            "array" => Value::List(children(node).into_iter().map(|n| self.value(n)).collect()),
            "object" => Value::Map(
                children(node)
                    .into_iter()
                    .filter_map(|property| {
                        let parts = children(property);
                        let [key, value] = parts[..] else {
                            return None;
                        };
                        Some((self.string(key), self.value(value)))
                    })
                    .collect(),
            ),
            "for_statement" => {
                Value::List(vec![self.value(node.child_by_field_name("body").unwrap())])
            }
            "ternary_expression" => Value::Several(
                ["consequence", "alternative"]
                    .into_iter()
                    .filter_map(|field| node.child_by_field_name(field))
                    .map(|node| self.value(node))
                    .collect(),
            ),
            "call_expression" if self.source(node).starts_with("concat(") => Value::Several(
                children(node.child_by_field_name("arguments").unwrap())
                    .into_iter()
                    .map(|node| self.value(node))
                    .collect(),
            ),
            "parenthesized_expression" => self.value(children(node)[0]),
            _ => Value::Code(self.source(node).to_owned()),
        }
    }
}

/// Without comments.
fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor)
        .filter(|child| !child.is_extra() && child.kind() != "comment")
        .collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn bicep_is_read_as_it_is_written() {
    let mut template = Template::default();
    template.add(
        "sample",
        "@secure()\nparam webhook string = ''\nparam size int\n\
         var shared = [{ name: 'a', value: 'https://${size}.x' }]\n\
         resource hub 'Some/hubs@2024-01-01' = if (size > 1) {\n  name: 'h'\n\
           properties: { all: concat(shared, empty(webhook) ? [] : [{ name: 'b' }]) }\n\
           resource inner 'groups' = {\n    name: 'g'\n  }\n}\n\
         resource other 'Some/things@2024-01-01' existing = {\n  name: 'o'\n}\n",
    );
    assert!(template.parameters[0].secure && !template.parameters[1].secure);
    let hub = template.resource_of("sample", "hub").unwrap();
    assert_eq!(hub.condition.as_deref(), Some("(size > 1)"));
    let all = hub.body.at("properties.all").unwrap();
    let names: Vec<_> = template
        .items("sample", all)
        .into_iter()
        .map(|item| item.get("name").unwrap().text().unwrap())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let inner = template.resource_of("sample", "inner").unwrap();
    assert_eq!(
        (inner.kind.as_str(), inner.parent()),
        ("Some/hubs/groups", Some("hub"))
    );
    assert!(template.resource_of("sample", "other").unwrap().existing);
    assert_eq!(template.of("Some/things").count(), 0);
}
