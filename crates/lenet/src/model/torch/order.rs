//! The order of a file's modules, as far as names and tensors tell it.
//!
//! A state dict does not say in which order its modules compute. Numbers do: `layer2` comes before `layer10`. The alphabet
//! does not: `features.0` computes before `classifier.1`. So modules whose names differ in numbers alone are taken in the order of
//! those, modules below one prefix are taken one after the other, and for all else every order is tried against the
//! tensors that the network needs.

use std::collections::BTreeMap;

/// Parts of a name that are looked at one by one; what is behind counts as one part.
const PARTS: usize = 64;
/// Most steps of the search. An order without a choice takes one a module, of which there are at most a thousand.
const STEPS: usize = 10_000;

/// A part of a name: its text with one 0 for each run of digits, and those runs as numbers.
type Place<'a> = (String, Vec<Number<'a>>);
/// Digits behind leading zeros, and before them how many there are: these compare as the numbers do, however long.
type Number<'a> = (usize, &'a str);

fn place(part: &str) -> Place<'_> {
    // The two ways through our residual blocks are the only texts whose order is known.
    if part == "shortcut" {
        return ("body".into(), vec![(1, "1")]);
    }
    let (mut text, mut numbers, mut rest) = (String::new(), Vec::new(), part);
    while let Some(from) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, behind) = rest.split_at(from);
        let to = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let digits = behind[..to].trim_start_matches('0');
        numbers.push((digits.len(), digits));
        text = text + before + "0";
        rest = &behind[to..];
    }
    (text + rest, numbers)
}

/// What sorts names with numbers as numbers.
pub fn natural(name: &str) -> Vec<Place<'_>> {
    parts(name).map(place).collect()
}

fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.splitn(PARTS, '.')
}

/// Modules below one prefix, in what their names tell of their order.
enum Tree {
    /// One module, by its position.
    Module(usize),
    /// How many modules, and chains of what follows one another. Which chain goes on first is open.
    Chains(usize, Vec<Vec<Tree>>),
}

impl Tree {
    /// Of the parts of names, in their order, and positions; all are equal before part `at`.
    fn of(modules: &[(Vec<&str>, usize)], at: usize) -> Tree {
        if let [(_, module)] = modules {
            return Tree::Module(*module);
        }
        let mut chains: BTreeMap<(String, usize), BTreeMap<Vec<Number>, Tree>> = BTreeMap::new();
        for below in modules.chunk_by(|a, b| a.0.get(at) == b.0.get(at)) {
            let (text, numbers) = place(below[0].0.get(at).copied().unwrap_or_default());
            // `1` and `01` are one number: what has a number twice goes into another chain.
            let mut key = (text, 0);
            while chains.get(&key).is_some_and(|chain| chain.contains_key(&numbers)) {
                key.1 += 1;
            }
            chains.entry(key).or_default().insert(numbers, Tree::of(below, at + 1));
        }
        let chains = chains.into_values().map(|chain| chain.into_values().collect()).collect();
        Tree::Chains(modules.len(), chains)
    }

    fn len(&self) -> usize {
        match self {
            Tree::Module(_) => 1,
            Tree::Chains(len, _) => *len,
        }
    }

    /// Adds all modules, one chain after the other.
    fn list(&self, to: &mut Vec<usize>) {
        match self {
            Tree::Module(module) => to.push(*module),
            Tree::Chains(_, chains) => chains.iter().flatten().for_each(|tree| tree.list(to)),
        }
    }

    /// The module that comes first if no chain is preferred.
    fn first(&self) -> usize {
        match self {
            Tree::Module(module) => *module,
            Tree::Chains(_, chains) => chains[0][0].first(),
        }
    }
}

/// How many orders fit.
enum Fits {
    Never,
    Once,
    /// More than one, or too many to try: two modules of which either may come first.
    More([usize; 2]),
}

struct Search<'a, T> {
    theirs: &'a [T],
    ours: &'a [T],
    /// The module at each of our places, as far as the search is.
    placed: Vec<usize>,
    /// As many of them as ever fitted.
    longest: Vec<usize>,
    steps: usize,
}

impl<T: PartialEq> Search<'_, T> {
    /// How many orders of a tree fit our places from `at`; if it is one, it is in `placed`.
    fn tree(&mut self, tree: &Tree, at: usize) -> Fits {
        match tree {
            Tree::Module(module) if self.theirs[*module] == self.ours[at] => {
                self.placed[at] = *module;
                if at >= self.longest.len() {
                    self.longest = self.placed[..=at].to_vec();
                }
                Fits::Once
            }
            Tree::Module(_) => Fits::Never,
            Tree::Chains(len, chains) => self.chains(chains, &mut vec![0; chains.len()], at, at + len),
        }
    }

    /// The same of chains of which so many trees are placed, for our places `at..end`.
    fn chains(&mut self, chains: &[Vec<Tree>], placed: &mut [usize], at: usize, end: usize) -> Fits {
        if at == end {
            return Fits::Once;
        }
        let open: Vec<usize> = (0..chains.len()).filter(|&c| placed[c] < chains[c].len()).collect();
        self.steps += 1;
        if let [a, b, ..] = open[..]
            && self.steps > STEPS
        {
            return Fits::More([a, b].map(|c| chains[c][placed[c]].first()));
        }
        let mut found: Option<Vec<usize>> = None;
        for chain in open {
            let tree = &chains[chain][placed[chain]];
            let inner = self.tree(tree, at);
            if matches!(inner, Fits::Never) {
                continue;
            }
            placed[chain] += 1;
            let rest = self.chains(chains, placed, at + tree.len(), end);
            placed[chain] -= 1;
            match (inner, rest, &found) {
                (Fits::Never, ..) | (_, Fits::Never, _) => {}
                (more @ Fits::More(_), ..) | (_, more @ Fits::More(_), _) => return more,
                (Fits::Once, Fits::Once, Some(other)) => return Fits::More([other[0], self.placed[at]]),
                (Fits::Once, Fits::Once, None) => found = Some(self.placed[at..end].to_vec()),
            }
        }
        // What was tried since has overwritten it.
        found.map_or(Fits::Never, |order| {
            self.placed[at..end].copy_from_slice(&order);
            Fits::Once
        })
    }
}

/// For each of our modules, the position of the file's module that stands in its place. `theirs` and `ours` are what the
/// modules hold, one of each for every name. If no order fits, the first modules are those that fit furthest.
///
/// # Errors
/// Several orders fit, or there are too many to try: two modules of which either may come first.
pub fn order<T: Ord>(names: &[&str], theirs: &[T], ours: &[T]) -> Result<Vec<usize>, [usize; 2]> {
    let mut modules: Vec<_> = names.iter().enumerate().map(|(i, name)| (parts(name).collect(), i)).collect();
    modules.sort();
    let tree = Tree::of(&modules, 0);
    let mut search = Search { theirs, ours, placed: vec![0; ours.len()], longest: Vec::new(), steps: 0 };
    let fits = search.tree(&tree, 0);
    let sorted = |all: &[T]| -> Vec<usize> {
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|&i| &all[i]);
        order
    };
    let can_fit = || sorted(theirs).into_iter().zip(sorted(ours)).all(|(a, b)| theirs[a] == ours[b]);
    match fits {
        Fits::Once => return Ok(search.placed),
        Fits::More(modules) if can_fit() => return Err(modules),
        Fits::More(_) | Fits::Never => {}
    }
    let mut order = search.longest;
    let mut rest = Vec::new();
    tree.list(&mut rest);
    let mut placed = vec![false; names.len()];
    order.iter().for_each(|&module| placed[module] = true);
    order.extend(rest.into_iter().filter(|&module| !placed[module]));
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in their order, of modules that hold the same where the letters are the same.
    fn ordered<'a>(names: &[&'a str], theirs: &str, ours: &str) -> Result<Vec<&'a str>, [&'a str; 2]> {
        let [theirs, ours]: [Vec<char>; 2] = [theirs, ours].map(|text| text.chars().collect());
        let order = order(names, &theirs, &ours).map(|order| order.into_iter().map(|i| names[i]).collect());
        order.map_err(|pair| pair.map(|i| names[i]))
    }

    const RESNET: [&str; 7] =
        ["bn1", "conv1", "fc", "layer1.0.bn1", "layer1.0.bn2", "layer1.0.conv1", "layer1.0.conv2"];

    #[test]
    fn numbers_are_compared_as_numbers() {
        let mut names = ["a_10b", "a_2b", "a_0099999999999999999999b", "a_1b", "a_9b"];
        let sorted = ["a_1b", "a_2b", "a_9b", "a_10b", "a_0099999999999999999999b"];
        assert_eq!(ordered(&names, "xxxxx", "xxxxx"), Ok(sorted.to_vec()));
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, sorted);
        let nested = ["net.10.0", "net.2.11", "net.2.3"];
        assert_eq!(ordered(&nested, "xxx", "xxx").unwrap(), ["net.2.3", "net.2.11", "net.10.0"]);
        assert_eq!(
            ordered(&["conv2_1", "conv1_10", "conv1_2"], "xxx", "xxx").unwrap(),
            ["conv1_2", "conv1_10", "conv2_1"]
        );
    }

    #[test]
    fn texts_come_in_the_order_that_fits() {
        let alexnet = ["classifier.1", "classifier.3", "features.0", "features.3"];
        let sorted = ["features.0", "features.3", "classifier.1", "classifier.3"];
        assert_eq!(ordered(&alexnet, "cdab", "abcd").unwrap(), sorted);
        // Normalisations stand between convolutions, and the modules of a block beside one another.
        let sorted = ["conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2", "layer1.0.bn2", "fc"];
        assert_eq!(ordered(&RESNET, "bafddce", "abcdedf").unwrap(), sorted);
        // Taken first, `b` fits as well, but then nothing behind it.
        assert_eq!(ordered(&["a.0", "b.0", "b.1"], "xxy", "xxy").unwrap(), ["a.0", "b.0", "b.1"]);
        let blocks = ["r.shortcut.0", "r.body.10", "r.body.2"];
        assert_eq!(ordered(&blocks, "xxx", "xxx").unwrap(), ["r.body.2", "r.body.10", "r.shortcut.0"]);
    }

    #[test]
    fn what_fits_in_two_orders_is_not_guessed() {
        assert_eq!(ordered(&["a.1", "b.0"], "xx", "xx"), Err(["a.1", "b.0"]));
        assert_eq!(ordered(&["1", "01"], "xx", "xx"), Err(["01", "1"]));
        assert_eq!(ordered(&["a", "a.b"], "xx", "xx"), Err(["a", "a.b"]));
        assert_eq!(ordered(&["in", "out", "q", "r"], "aemm", "amme"), Err(["q", "r"]));
        // With one number of channels throughout, it may as well be of the kind that normalises first.
        assert_eq!(ordered(&RESNET, "bafbbcc", "abcbcbf"), Err(["bn1", "layer1.0.bn1"]));
    }

    #[test]
    fn where_nothing_fits_the_first_modules_are_those_that_do() {
        assert_eq!(ordered(&["b.0", "a.1", "a.2", "b.9"], "xyzu", "x???").unwrap(), ["b.0", "a.1", "a.2", "b.9"]);
    }

    #[test]
    fn the_search_is_bounded() {
        // As many texts as modules, two chains that mix as they like before what fits nowhere, and names in names.
        let texts: Vec<String> = (0..1000).map(|i| "x".repeat(i)).collect();
        let chains: Vec<String> =
            (0..998).map(|i| format!("{}{i}", ["a", "b"][i % 2])).chain(["c1", "c2"].map(String::from)).collect();
        let nested: Vec<String> = (0..1000).map(|i| "a.".repeat(i)).collect();
        let same = "x".repeat(1000);
        let [first, last] = [format!("{}zx", &same[2..]), format!("{}z", &same[1..])];
        for (names, theirs, ours, open) in [
            (&texts, &same, &same, true),
            (&texts, &same, &last, false),
            (&chains, &first, &last, true),
            (&nested, &same, &same, true),
        ] {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            assert_eq!(ordered(&names, theirs, ours).is_err(), open, "{}", names[999]);
        }
    }
}
