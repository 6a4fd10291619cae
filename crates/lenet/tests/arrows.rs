//! The structure of the source: which room may use which, and that no file uses one that uses it.
//!
//! Both are read from the source as it stands, so the table below and its picture in DESIGN.md cannot drift from the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// The rooms of the library, and the rooms that each may use besides the ground.
const ARROWS: [(&str, &[&str]); 12] = [
    ("spec", &[]),
    ("kernel", &["spec"]),
    ("data", &["kernel", "spec"]),
    ("engine", &["kernel", "spec"]),
    ("model", &["kernel", "spec"]),
    ("predict", &["data", "engine", "kernel", "model", "spec"]),
    ("draw", &[]),
    ("train", &["data", "draw", "engine", "kernel", "model", "predict", "spec"]),
    ("inspect", &["data", "draw", "engine", "model", "predict", "spec"]),
    ("report", &["data", "draw", "engine", "inspect", "model", "predict", "spec", "train"]),
    ("sweep", &["data", "draw", "engine", "spec", "train"]),
    ("bench", &["data", "engine", "kernel", "spec", "train"]),
];

/// The ground: rooms that know nothing of networks, which every room may use.
const GROUND: [&str; 7] = ["fs", "json", "metrics", "protobuf", "random", "softmax", "text"];

/// A module as the names from the crate's root to it.
type Module = Vec<String>;

/// A file's paths, each from the crate's root on.
struct Paths<'a> {
    module: Module,
    modules: &'a BTreeSet<Module>,
    /// What the file uses.
    used: Vec<Vec<String>>,
    /// What it hands on by `pub use`, by the name that it gives it.
    handed: Vec<(String, Vec<String>)>,
}

impl Paths<'_> {
    /// A path as written, from the crate's root on; `None` where it begins in another crate or with a name in scope.
    fn resolve(&self, path: &[String]) -> Option<Vec<String>> {
        let mut full = self.module.clone();
        let mut rest = path;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" => full.clear(),
                "self" => {}
                "super" => drop(full.pop()),
                _ => break,
            }
            rest = others;
        }
        let is_child = || {
            rest.first().is_some_and(|first| self.modules.contains(&[&full[..], std::slice::from_ref(first)].concat()))
        };
        if rest.len() == path.len() && !is_child() {
            return None;
        }
        full.extend_from_slice(rest);
        Some(full)
    }

    fn uses(&mut self, tree: &syn::UseTree, before: &[String], is_handed_on: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (path, name) = match tree {
            syn::UseTree::Path(p) => return self.uses(&p.tree, &with(&p.ident), is_handed_on),
            syn::UseTree::Group(g) => return g.items.iter().for_each(|tree| self.uses(tree, before, is_handed_on)),
            syn::UseTree::Name(n) if n.ident == "self" => (before.to_vec(), before.last().cloned().unwrap_or_default()),
            syn::UseTree::Name(n) => (with(&n.ident), n.ident.to_string()),
            syn::UseTree::Rename(r) => (with(&r.ident), r.rename.to_string()),
            syn::UseTree::Glob(_) => (before.to_vec(), "*".into()),
        };
        match self.resolve(&path) {
            Some(full) if is_handed_on => self.handed.push((name, full)),
            Some(full) => self.used.push(full),
            None => {}
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let is_test =
        |a: &syn::Attribute| a.path().is_ident("test") || a.parse_args::<syn::Ident>().is_ok_and(|i| i == "test");
    attributes.iter().any(|a| (a.path().is_ident("cfg") || a.path().is_ident("test")) && is_test(a))
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            syn::Item::Mod(m) if is_test(&m.attrs) => {}
            syn::Item::Mod(m) => {
                self.module.push(m.ident.to_string());
                syn::visit::visit_item_mod(self, m);
                self.module.pop();
            }
            syn::Item::Use(u) if is_test(&u.attrs) => {}
            syn::Item::Use(u) => self.uses(&u.tree, &[], !matches!(u.vis, syn::Visibility::Inherited)),
            syn::Item::Fn(f) if is_test(&f.attrs) => {}
            syn::Item::Impl(i) if is_test(&i.attrs) => {}
            item => syn::visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if names.len() > 1 {
            self.used.extend(self.resolve(&names));
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    /// Macros are tokens: paths in them begin with `crate` or `super`.
    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let tokens = mac.tokens.to_string().replace(" :: ", "::").replace("$ crate", "crate");
        for word in tokens.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if word.starts_with("crate::") || word.starts_with("super::") {
                let names: Vec<String> = word.split("::").filter(|n| !n.is_empty()).map(String::from).collect();
                self.used.extend(self.resolve(&names));
            }
        }
    }
}

/// The files of a crate and what each uses: a name that a module only hands on counts as its owner's.
struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    fn new(package: &str) -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("src");
        let files = files(&src);
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        let mut used = Vec::new();
        let mut handed: BTreeMap<(Module, String), Vec<String>> = BTreeMap::new();
        for (module, path) in &files {
            let text = std::fs::read_to_string(path).unwrap();
            let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let mut paths = Paths { module: module.clone(), modules: &modules, used: Vec::new(), handed: Vec::new() };
            paths.visit_file(&file);
            handed.extend(paths.handed.into_iter().map(|(name, path)| ((module.clone(), name), path)));
            used.push((module, paths.used));
        }
        let owner = |mut path: Vec<String>| -> Module {
            loop {
                let len = (0..=path.len()).rev().find(|&n| n == 0 || modules.contains(&path[..n])).unwrap_or(0);
                let from = path.get(len).and_then(|item| handed.get(&(path[..len].to_vec(), item.clone())));
                match from {
                    Some(from) if *from != path => path = [&from[..], &path[len + 1..]].concat(),
                    _ => return path[..len].to_vec(),
                }
            }
        };
        let name = |module: &[String]| if module.is_empty() { "lib".into() } else { module.join("::") };
        let arrows = used.into_iter().map(|(module, paths)| {
            let owners = paths.into_iter().map(owner).filter(|o| o != module);
            (name(module), owners.map(|o| name(&o)).collect())
        });
        Graph(arrows.collect())
    }

    /// All files that a file uses, directly or through others.
    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(next) = open.pop() {
            let new = self.0.get(next).into_iter().flatten().filter(|to| reached.insert(to.as_str()));
            open.extend(new.map(String::as_str).collect::<Vec<_>>());
        }
        reached
    }

    /// The files that use one another in a circle: each circle once.
    fn circles(&self) -> BTreeSet<Vec<&str>> {
        let reached: BTreeMap<&str, _> = self.0.keys().map(|file| (file.as_str(), self.reached(file))).collect();
        let in_circle = reached.iter().filter(|(file, to)| to.contains(*file));
        in_circle.map(|(file, to)| to.iter().copied().filter(|t| reached[t].contains(file)).collect()).collect()
    }
}

/// The files of a crate by module, without those of tests alone.
fn files(src: &Path) -> BTreeMap<Module, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && stem != "tests" {
                let inside = path.strip_prefix(src).unwrap().with_extension("");
                let mut module: Module = inside.iter().map(|p| p.to_string_lossy().into_owned()).collect();
                if matches!(stem.as_str(), "mod" | "lib" | "main") {
                    module.pop();
                }
                found.insert(module, path);
            }
        }
    }
    found.retain(|module, _| !module.iter().any(|m| m == "tests"));
    found
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let graph = Graph::new("lenet");
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().chain(GROUND.map(|room| (room, &[][..]))).collect();
    let room = |module: &str| module.split("::").next().unwrap_or_default().to_string();
    let mut wrong = Vec::new();
    for (from, targets) in graph.0.iter().filter(|(from, _)| *from != "lib") {
        let Some(rooms) = allowed.get(room(from).as_str()) else {
            wrong.push(format!("{from} is in no room of the table"));
            continue;
        };
        let is_allowed = |to: &str| to == room(from) || rooms.contains(&to) || GROUND.contains(&to);
        wrong.extend(targets.iter().filter(|to| !is_allowed(&room(to))).map(|to| format!("{from} uses {to}")));
    }
    assert!(wrong.is_empty(), "arrows that the table does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let mut circles = Vec::new();
    for package in ["lenet", "lenet-cli", "lenet-gpu", "lenet-mpi", "lenet-py", "lenet-serve"] {
        let graph = Graph::new(package);
        let arrows: usize = graph.0.values().map(BTreeSet::len).sum();
        assert!(graph.0.len() > 2 && arrows > 2, "{package}: {} files and {arrows} arrows were read", graph.0.len());
        circles.extend(graph.circles().iter().map(|files| format!("{package}: {}", files.join(", "))));
    }
    assert!(circles.is_empty(), "files that use one another in a circle:\n{}", circles.join("\n"));
}

/// DESIGN.md has a line for each room, `room → what it may use`.
#[test]
fn the_design_shows_the_table() {
    let design = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../DESIGN.md")).unwrap();
    for (from, to) in ARROWS {
        let line = format!("{from} → {}", if to.is_empty() { "the ground".into() } else { to.join(", ") });
        assert!(design.contains(&line), "DESIGN.md lacks the line {line:?}");
    }
}
