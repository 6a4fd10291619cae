// The runs: a table, curves that grow with a training, comparison, and trainings if the server allows them.

import { ask, askJson, byId, el, fault, hasToken, postJson, shown, svg } from "./common.js";

/** Milliseconds between two looks at the list. */
const REFRESH = 3000;
/** Runs that are followed at a time: a browser opens only six connections to a server. */
const FOLLOWED = 3;
/** Runs that can be told apart by colour. */
const COLOURS = 6;

const CHARTS = [
    ["Loss", [["test_loss", "test", ""], ["val_loss", "validation", "2 3"], ["train_loss", "training", "7 4"]]],
    ["Accuracy", [["test_accuracy", "test", ""], ["val_accuracy", "validation", "2 3"], ["train_accuracy", "training", "7 4"]]],
    ["Learning rate", [["lr", "learning rate", ""]]],
    ["Images a second", [["images_per_second", "training", ""]]],
];

/** Chosen runs: colour, metrics, and what ends their stream. */
const chosen = new Map();
let timer = null, listed = [], began = false;

/** Shows or leaves the view. */
export function showRuns(visible) {
    clearInterval(timer);
    timer = null;
    if (!visible) {
        chosen.forEach((run) => unfollow(run));
        return;
    }
    refresh();
    timer = setInterval(refresh, REFRESH);
}

async function refresh() {
    try {
        const answer = await askJson("/v1/runs");
        listed = answer.runs;
        byId("runs-facts").textContent = answer.directory === null
            ? "This server shows no runs: start it with --runs DIR."
            : listed.length === 0 ? `There are no runs in ${answer.directory} yet.` : `${listed.length} runs in ${answer.directory}.`;
        if (!began && listed.length > 0) {
            began = true;
            choose(listed[0].name);
        }
        showTraining(answer);
        showTable(answer.training);
        for (const run of listed.filter((r) => chosen.has(r.name))) bring(run);
    } catch (error) {
        fault(error);
    }
}

function showTraining({ training, presets, datasets, failures }) {
    const form = byId("train-form");
    if (training && form.hidden) {
        byId("train-recipe").replaceChildren(...presets.map((name) => el("option", {}, name)));
        byId("train-dataset").replaceChildren(...datasets.map((name) => el("option", {}, name)));
        form.onsubmit = (event) => {
            event.preventDefault();
            const wish = { recipe: byId("train-recipe").value, dataset: byId("train-dataset").value, epochs: Number(byId("train-epochs").value) };
            act(() => postJson("/v1/runs", wish));
        };
    }
    form.hidden = !training;
    const stopped = listed.find((run) => run.status === "stopped" && byId("train-said").textContent === `${run.name}: stopping`);
    if (stopped) byId("train-said").textContent = `${stopped.name}: stopped`;
    const words = Object.entries(failures ?? {}).map(([name, text]) => `${name}: ${text}`);
    if (words.length > 0) byId("train-said").textContent = words.join("; ");
}

/** Does something to a training, and says how that went. */
async function act(work) {
    try {
        const { name, status } = await work();
        byId("train-said").textContent = `${name}: ${status}`;
        if (status === "training") choose(name);
        await refresh();
    } catch (error) {
        byId("train-said").textContent = error.message;
    }
}

function choose(name) {
    if (chosen.has(name)) return;
    const taken = [...chosen.values()].map((run) => run.colour);
    const colour = Array.from({ length: COLOURS }, (_, i) => i).find((i) => !taken.includes(i)) ?? 0;
    chosen.set(name, { name, colour, metrics: [], stop: null });
}

function drop(name) {
    unfollow(chosen.get(name));
    chosen.delete(name);
    showCurves();
}

/** The table; a row stays the same element, so that the focus does. */
const rows = new Map();
function showTable(training) {
    const body = byId("runs-table").tBodies[0];
    for (const name of [...rows.keys()].filter((name) => !listed.some((r) => r.name === name))) {
        rows.get(name).row.remove();
        rows.delete(name);
    }
    listed.forEach((run, place) => {
        if (!rows.has(run.name)) rows.set(run.name, newRow(run.name));
        const { row, box, cells, buttons, goal, number } = rows.get(run.name);
        if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
        box.checked = chosen.has(run.name);
        box.disabled = !box.checked && chosen.size >= COLOURS;
        const accuracy = run.last ? `${(100 * run.last.test_accuracy).toFixed(2)} %` : "–";
        const texts = [run.status, `${run.done} of ${run.epochs || "?"}`, accuracy, shown(run.last?.test_loss, 4), run.recipe ?? ""];
        texts.forEach((text, i) => { if (cells[i].textContent !== text) cells[i].textContent = text; });
        buttons.report.hidden = !run.report || hasToken();
        buttons.stop.hidden = !(training && run.own);
        const more = training && ["stopped", "finished"].includes(run.status);
        buttons.resume.hidden = goal.hidden = !more;
        // What someone has typed stays.
        number.min = run.done + 1;
        if (!number.dataset.typed) number.value = Math.max(run.epochs, run.done + 1);
    });
}

function newRow(name) {
    const box = el("input", { type: "checkbox", "aria-label": `Show ${name}` });
    box.onchange = () => {
        if (box.checked) choose(name);
        else drop(name);
        refresh();
    };
    const post = (what, words, wish = () => ({})) => {
        const work = () => postJson(`/v1/runs/${name}/${what}`, wish());
        return el("button", { type: "button", hidden: true, "aria-label": `${words} ${name}`, onclick: () => act(work) }, words);
    };
    const number = el("input", { type: "number", max: 100000, "aria-label": `Epochs of ${name} in all` });
    number.oninput = () => (number.dataset.typed = "yes");
    const goal = el("label", { className: "goal", hidden: true }, " to epoch ", number);
    const resume = post("resume", "Resume", () => {
        delete number.dataset.typed;
        return { epochs: Number(number.value) };
    });
    const report = el("a", { href: `/v1/runs/${name}/report`, target: "_blank", rel: "noopener", hidden: true, "aria-label": `Report of ${name}` }, "Report");
    const buttons = { report, stop: post("stop", "Stop"), resume };
    const cells = [0, 1, 2, 3, 4].map((i) => el("td", { className: i === 4 ? "recipe" : "" }));
    const row = el("tr", {}, el("td", {}, box), el("th", { scope: "row" }, name), ...cells, el("td", {}, ...Object.values(buttons), goal));
    return { row, box, cells, buttons, goal, number };
}

/** Gets what a chosen run has, and follows it while it is trained. */
async function bring(listedRun) {
    const run = chosen.get(listedRun.name);
    if (run.stop) return;
    const followed = [...chosen.values()].filter((r) => r.stop).length;
    if (listedRun.status === "training" && followed < FOLLOWED) return follow(run);
    // What stands still needs no second look.
    if (run.metrics.length > 0 && run.metrics.length === listedRun.done) return;
    run.metrics = (await askJson(`/v1/runs/${run.name}/metrics`)).metrics;
    showCurves();
}

function unfollow(run) {
    run?.stop?.abort();
    if (run) run.stop = null;
}

/** Reads the stream of a run's metrics (server-sent events; the browser's own reader of these sends no token). */
async function follow(run) {
    const stop = (run.stop = new AbortController());
    try {
        const answer = await ask(`/v1/runs/${run.name}/events`, { signal: stop.signal });
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        run.metrics = [];
        for (let text = ""; ;) {
            const { value, done } = await reader.read();
            if (done) break;
            const events = (text + value).split("\n\n");
            text = events.pop();
            for (const event of events) {
                if (event.startsWith("event: restart")) run.metrics = [];
                if (event.startsWith("event: epoch\ndata: ")) run.metrics.push(JSON.parse(event.slice("event: epoch\ndata: ".length)));
            }
            showCurves();
            const last = run.metrics.at(-1);
            if (last && events.length > 0) byId("runs-live").textContent = `${run.name}, epoch ${last.epoch}: test accuracy ${(100 * last.test_accuracy).toFixed(2)} %`;
            if (listed.find((r) => r.name === run.name)?.status !== "training") break;
        }
    } catch (error) {
        if (!stop.signal.aborted) fault(error);
    } finally {
        stop.abort();
        if (run.stop === stop) run.stop = null;
    }
}

function showCurves() {
    const runs = [...chosen.values()].filter((run) => run.metrics.length > 0);
    const charts = CHARTS.map(([title, series]) => chart(title, series, runs)).filter((c) => c !== null);
    byId("curves").replaceChildren(...charts);
    showNumbers(runs);
}

/** Rounded places for an axis's labels. */
function ticks(low, high, n) {
    const rough = (high - low) / n || 1, ten = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * ten).find((s) => s >= rough);
    const all = [];
    for (let at = Math.ceil(low / step); at * step <= high + 1e-9 * step; at++) all.push(at * step);
    return all;
}

function chart(title, series, runs) {
    const lines = runs.flatMap((run) => series.map(([key, words, dash]) => {
        const points = run.metrics.filter((m) => Number.isFinite(m[key])).map((m) => [m.epoch, m[key]]);
        return { run, words, dash, points };
    })).filter((line) => line.points.length > 0);
    if (lines.length === 0) return null;
    // A unit is about a pixel of the screen, so that labels can be read on narrow ones too.
    const narrow = matchMedia("(max-width: 619px)").matches;
    const [width, height, left, bottom, top, right] = [narrow ? 320 : 640, narrow ? 220 : 300, 74, 40, 12, 14];
    const values = lines.flatMap((l) => l.points.map((p) => p[1]));
    const last = Math.max(...lines.flatMap((l) => l.points.map((p) => p[0])), 2);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    [low, high] = [Math.max(low - room, low >= 0 ? 0 : -Infinity), high + room];
    const x = (epoch) => left + (epoch - 1) / (last - 1) * (width - left - right);
    const y = (value) => height - bottom - (value - low) / (high - low) * (height - bottom - top);
    const ofAxis = (value) => (title === "Accuracy" ? `${+(100 * value).toFixed(2)} %` : (Math.abs(value) >= 1e4 ? Math.round(value).toLocaleString("en") : `${+value.toPrecision(4)}`));
    const finals = lines.filter((l) => l.dash === "").map((l) => `${l.run.name} ${ofAxis(l.points.at(-1)[1])}`).join(", ");
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} by epoch. Last: ${finals}` });
    for (const value of ticks(low, high, 5)) {
        picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
            svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, ofAxis(value)));
    }
    for (const epoch of ticks(1, last, narrow ? 4 : 8).filter((e) => Number.isInteger(e) && e >= 1)) {
        picture.append(svg("text", { x: x(epoch), y: height - bottom + 18, "text-anchor": "middle" }, String(epoch)));
    }
    picture.append(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, "epoch"));
    for (const { run, dash, points } of lines) {
        const path = points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ");
        picture.append(svg("polyline", { class: `curve k${run.colour}`, points: path, "stroke-dasharray": dash }));
        const [epoch, value] = points.at(-1);
        picture.append(svg("circle", { class: `k${run.colour}`, cx: x(epoch), cy: y(value), r: 3 }));
    }
    const legend = el("ul", { className: "legend" }, ...lines.map(({ run, words, dash }) => {
        const mark = svg("svg", { viewBox: "0 0 32 12", "aria-hidden": "true" }, svg("line", { class: `curve k${run.colour}`, x1: 0, x2: 32, y1: 6, y2: 6, "stroke-dasharray": dash }));
        return el("li", {}, mark, series.length > 1 ? `${run.name}, ${words}` : run.name);
    }));
    return el("section", { className: "chart card", "aria-label": title }, el("h3", {}, title), picture, legend);
}

function showNumbers(runs) {
    const heads = ["Run", "Epoch", "Learning rate", "Training loss", "Training accuracy", "Test loss", "Test accuracy"];
    const body = el("tbody", {}, ...runs.flatMap((run) => run.metrics.map((m) => {
        const cells = [m.epoch, shown(m.lr, 4), shown(m.train_loss, 4), shown(m.train_accuracy, 4), shown(m.test_loss, 4), shown(m.test_accuracy, 4)];
        return el("tr", {}, el("th", { scope: "row" }, run.name), ...cells.map((c) => el("td", {}, String(c))));
    })));
    const head = el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col" }, h))));
    byId("numbers").querySelector(".wide").replaceChildren(el("table", {}, head, body));
}
