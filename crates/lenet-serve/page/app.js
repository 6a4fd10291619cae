// The page: inputs that are drawn, dropped or chosen, and what the model says of them.

import { ask, askJson, byId, bytesOf, el, fault, paintImage, shown } from "./common.js";
import { Layers } from "./layers.js";
import { showRuns } from "./runs.js";

/** Milliseconds after a stroke before the model is asked again. */
const PAUSE = 50;
/** From this percentile of the test images' energies on an input is called strange. */
const STRANGE = 95;

let models = [];
const model = () => models.find((m) => m.name === byId("model").value);
const layers = new Layers(byId("layers"), () => model().name);

/** One input: a picture of the model's size, what changes it, and the answer. */
class Input {
    constructor(letter) {
        this.letter = letter;
        this.canvas = el("canvas", { className: "draw", role: "application", tabIndex: 0 });
        this.cursor = el("span", { className: "pen" });
        this.pen = { at: [0, 0], down: false };
        this.said = el("p", { className: "hint", role: "status" }, "Draw with mouse or finger; or with the arrow keys, Space puts the pen down and up.");
        this.erase = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggleErase() }, "Erase");
        const file = el("input", { type: "file", accept: "image/*", "aria-label": `Picture for input ${letter}` });
        file.onchange = () => { if (file.files[0]) this.take(file.files[0]); file.value = ""; };
        this.classes = el("select", { onchange: () => this.showSamples() });
        this.samples = el("div", { className: "samples", role: "group", "aria-label": `Test images for input ${letter}` });
        this.verdict = el("p", { className: "verdict", role: "status" });
        this.bars = el("dl", { className: "bars" });
        this.strange = el("p", { className: "strange" });
        this.panel = el("section", { className: "panel card", "aria-label": `Input ${letter}` },
            el("div", {}, el("div", { className: "draw-box" }, this.canvas, this.cursor), this.said, el("div", { className: "tools" },
                el("button", { type: "button", onclick: () => this.fill(() => 0) }, "Clear"),
                el("button", { type: "button", onclick: () => this.fill((v) => 255 - v) }, "Invert"),
                this.erase, el("label", { className: "file" }, "Picture…", file))),
            el("div", {}, this.verdict, this.bars, this.strange,
                el("p", { className: "tools" }, el("label", {}, "Test images of ", this.classes)), this.samples));
        this.listen();
    }

    listen() {
        let last = null;
        const place = (event) => {
            const box = this.canvas.getBoundingClientRect();
            const [, h, w] = this.shape;
            return [(event.clientX - box.left) / box.width * w, (event.clientY - box.top) / box.height * h];
        };
        this.canvas.onpointerdown = (event) => {
            this.canvas.setPointerCapture(event.pointerId);
            last = place(event);
            this.stroke(last, last);
        };
        this.canvas.onpointermove = (event) => {
            if (!last) return;
            for (const part of event.getCoalescedEvents?.() ?? [event]) {
                const next = place(part);
                this.stroke(last, next);
                last = next;
            }
        };
        this.canvas.onkeydown = (event) => this.key(event);
        this.canvas.onblur = () => this.movePen(this.pen.at, false);
        this.canvas.onpointerup = this.canvas.onpointercancel = () => (last = null);
        this.panel.ondragover = (event) => { event.preventDefault(); this.panel.classList.add("over"); };
        this.panel.ondragleave = () => this.panel.classList.remove("over");
        this.panel.ondrop = (event) => {
            event.preventDefault();
            this.panel.classList.remove("over");
            if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
        };
    }

    /** Arrow keys move a pen by a pixel of the picture, with Shift by four; Space puts it down and up. */
    key(event) {
        const steps = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
        const [, h, w] = this.shape, { at, down } = this.pen;
        if (event.key === " ") {
            if (!down) this.stroke(at, at);
            this.movePen(at, !down);
        } else if (event.key in steps && !event.ctrlKey && !event.altKey && !event.metaKey) {
            const by = event.shiftKey ? 4 : 1, inside = (value, n) => Math.min(Math.max(value, 0.5), n - 0.5);
            const next = [inside(at[0] + by * steps[event.key][0], w), inside(at[1] + by * steps[event.key][1], h)];
            if (down) this.stroke(at, next);
            this.movePen(next, down);
        } else return;
        event.preventDefault();
        this.said.textContent = `Pen ${this.pen.down ? "down" : "up"}, row ${Math.floor(this.pen.at[1])}, column ${Math.floor(this.pen.at[0])}`;
    }

    movePen(at, down) {
        const [, h, w] = this.shape;
        this.pen = { at, down };
        this.cursor.classList.toggle("down", down);
        Object.assign(this.cursor.style, { left: `${100 * at[0] / w}%`, top: `${100 * at[1] / h}%`, width: `${160 / w}%`, height: `${160 / h}%` });
        this.canvas.setAttribute("aria-label", `Input ${this.letter}: arrow keys move the pen, Space puts it ${down ? "up" : "down"}`);
    }

    toggleErase() {
        this.erase.setAttribute("aria-pressed", String(this.erase.getAttribute("aria-pressed") !== "true"));
    }

    /** Begins anew with an empty picture for a model. */
    reset(model) {
        this.shape = model.input;
        this.image = new Uint8Array(model.input.reduce((a, b) => a * b));
        this.answer = null;
        this.movePen([Math.floor(model.input[2] / 2) + 0.5, Math.floor(model.input[1] / 2) + 0.5], false);
        this.verdict.textContent = "Draw, or take a picture";
        this.strange.textContent = "";
        this.bars.replaceChildren();
        this.values = model.classes.map((name) => {
            const bar = el("span"), value = el("dd", { className: "value" });
            this.bars.append(el("dt", {}, name), el("dd", { className: "track" }, bar), value);
            return [bar, value];
        });
        const all = el("option", { value: "" }, "all classes");
        this.classes.replaceChildren(all, ...model.classes.map((name, i) => el("option", { value: i }, name)));
        this.show();
        return this.showSamples();
    }

    show() {
        paintImage(this.canvas, this.image, this.shape);
    }

    fill(value) {
        this.image = this.image.map(value);
        this.show();
        this.changed();
    }

    /** Draws a line with a soft round brush, in the pixels that the network sees. */
    stroke([x0, y0], [x1, y1]) {
        const [c, h, w] = this.shape;
        const radius = Math.max(h, w) / 24, erase = this.erase.getAttribute("aria-pressed") === "true";
        const squared = (x1 - x0) ** 2 + (y1 - y0) ** 2;
        for (let y = 0; y < h; y++) {
            for (let x = 0; x < w; x++) {
                const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
                const along = squared > 0 ? Math.min(Math.max((px * (x1 - x0) + py * (y1 - y0)) / squared, 0), 1) : 0;
                const distance = Math.hypot(px - along * (x1 - x0), py - along * (y1 - y0));
                const ink = 255 * Math.min(Math.max(radius + 0.5 - distance, 0), 1);
                for (let k = 0; k < c; k++) {
                    const i = (k * h + y) * w + x;
                    this.image[i] = erase ? Math.min(this.image[i], 255 - ink) : Math.max(this.image[i], ink);
                }
            }
        }
        this.show();
        this.changed();
    }

    /** Takes a file's picture; the server fits it to the model. */
    take(file) {
        this.ask(file, file.type || "image/png");
    }

    changed() {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.ask(), PAUSE);
    }

    /** Asks the model about the picture, one request at a time: what changes meanwhile is asked about afterwards. */
    async ask(body = null, type = "application/octet-stream") {
        if (this.busy) {
            this.next = [body, type];
            return;
        }
        this.busy = true;
        const asked = model().name;
        try {
            const path = `/v1/activations?model=${asked}`;
            const answer = await askJson(path, { method: "POST", headers: { "Content-Type": type }, body: body ?? this.image });
            if (asked === model().name) {
                if (body) {
                    this.image = bytesOf(answer.image);
                    this.show();
                }
                this.answered(answer);
            }
            fault(null);
        } catch (error) {
            fault(error);
        } finally {
            this.busy = false;
            const next = this.next;
            this.next = null;
            if (next) this.ask(...next);
        }
    }

    answered(answer) {
        this.answer = answer;
        const best = answer.probabilities.indexOf(Math.max(...answer.probabilities));
        answer.probabilities.forEach((p, i) => {
            this.values[i][0].style.width = `${100 * p}%`;
            this.values[i][1].textContent = `${(100 * p).toFixed(1)} %`;
        });
        // The same words again would be read out again.
        const verdict = `${answer.labels[best]}, ${(100 * answer.probabilities[best]).toFixed(0)} %`;
        if (this.verdict.textContent !== verdict) this.verdict.textContent = verdict;
        const percentile = answer.energy_percentile;
        const compared = percentile === null ? "no test images here to compare with"
            : `higher than of ${percentile.toFixed(1)} % of the test images`;
        const strange = percentile !== null && percentile >= STRANGE;
        this.strange.textContent = `Energy ${shown(answer.energy, 2)}: ${compared}${strange ? " – strange to this model" : ""}`;
        this.strange.classList.toggle("very", strange);
        showLayers();
    }

    async showSamples() {
        const own = model(), chosen = this.classes.value;
        const part = chosen === "" ? "" : `&class=${chosen}`;
        const answer = await askJson(`/v1/samples?model=${own.name}&n=12${part}`);
        if (own !== model() || chosen !== this.classes.value) return;
        const thumbnails = answer.samples.map((sample) => {
            const canvas = el("canvas"), image = bytesOf(sample.image);
            paintImage(canvas, image, answer.shape);
            const label = `${own.classes[sample.label]}, test image ${sample.index}`;
            const choose = () => { this.image = image.slice(); this.show(); this.changed(); };
            return el("button", { type: "button", title: label, "aria-label": label, onclick: choose }, canvas);
        });
        this.samples.replaceChildren(...thumbnails);
        if (answer.reason) this.samples.append(el("p", { className: "hint" }, `No test images: ${answer.reason}`));
    }
}

const inputs = [new Input("A"), new Input("B")];
const comparing = () => byId("compare").checked;

function showLayers() {
    layers.show(inputs.slice(0, comparing() ? 2 : 1).filter((i) => i.answer).map((i) => [i.letter, i.answer.layers]));
}

byId("compare").onchange = () => {
    inputs[1].panel.hidden = !comparing();
    byId("inputs").classList.toggle("two", comparing());
    showLayers();
};

function showModel() {
    const own = model(), [c, h, w] = own.input;
    const accuracy = own.test_accuracy === null ? "" : `, ${(100 * own.test_accuracy).toFixed(2)} % of the test images right`;
    byId("facts").textContent = `${own.recipe} on ${own.dataset || "unknown data"}: input ${c}×${h}×${w}, ${own.classes.length} classes, `
        + `${own.parameters.toLocaleString("en")} parameters, ${own.epochs} epochs${accuracy}.`;
    layers.clear();
    inputs.forEach((input) => input.reset(own).catch(fault));
}

/** The view that the address names. */
function showView() {
    const runs = location.hash === "#runs";
    byId("look").hidden = runs;
    byId("runs").hidden = !runs;
    document.querySelector(".model").hidden = runs;
    for (const [id, here] of [["to-look", !runs], ["to-runs", runs]]) {
        if (here) byId(id).setAttribute("aria-current", "page");
        else byId(id).removeAttribute("aria-current");
    }
    showRuns(runs);
}

async function begin() {
    byId("inputs").append(...inputs.map((input) => input.panel));
    inputs[1].panel.hidden = true;
    models = (await (await ask("/v1/models")).json()).models;
    byId("model").replaceChildren(...models.map((m) => el("option", { value: m.name }, m.name)));
    byId("model").onchange = showModel;
    showModel();
    addEventListener("hashchange", showView);
    showView();
}

begin().catch(fault);
