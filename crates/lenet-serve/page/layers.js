// Every layer's values as maps, the difference of two inputs, and cells that can be chosen to see what made them.

import { byId, el, fault, floatsOf, grey, paint, sequential, shown, signed } from "./common.js";
import { EXPLAINED, explanation } from "./sums.js";

/** Most maps of a layer that are drawn at first. */
const MOST = 64;
/** Pixels of the screen that a map's longer side may have; fewer on narrow screens, so that maps stand side by side. */
const SIDE = matchMedia("(max-width: 619px)").matches ? 60 : 84;

/** Channels, rows and columns as drawn: what has no place is laid out in lines. */
function planes(shape) {
    if (shape.length === 3) return { c: shape[0], h: shape[1], w: shape[2] };
    const w = Math.min(shape[0], 42);
    return { c: 1, h: Math.ceil(shape[0] / w), w };
}

export class Layers {
    /** `place` holds the layers; `model` gives the name of the model. */
    constructor(place, model) {
        this.place = place;
        this.model = model;
        byId("cell-close").onclick = () => byId("cell").close();
    }

    clear() {
        this.key = null;
        this.inputs = [];
        this.place.replaceChildren(el("p", { className: "hint" }, "Draw something, or take a test image."));
    }

    /** Shows the layers of inputs, `[[letter, layers], …]`. */
    show(inputs) {
        if (inputs.length === 0) return;
        this.inputs = inputs.map(([letter, layers]) => [letter, layers.map((l) => ({ ...l, values: floatsOf(l.values) }))]);
        const key = JSON.stringify([this.model(), inputs.map(([letter]) => letter), inputs[0][1].map((l) => [l.name, l.shape])]);
        // Elements stay while only values change: the focus does too.
        if (key !== this.key) this.build();
        this.key = key;
        this.draw();
    }

    build() {
        this.drawn = [];
        this.place.replaceChildren(...this.inputs[0][1].map((layer, number) => {
            const range = el("span");
            const title = layer.name === layer.kind ? layer.name : `${layer.name} · ${layer.kind}`;
            const heading = el("h3", {}, title, el("span", {}, layer.shape.join("×")), range);
            const rows = this.inputs.map(([letter], input) => this.row(`Input ${letter}`, layer, number, input));
            if (this.inputs.length === 2) rows.push(this.row("A − B", layer, number, null));
            this.drawn.push({ range, rows });
            return el("section", { className: "layer", "aria-label": title }, heading, el("div", { className: "rows" }, ...rows.map((r) => r.element)));
        }));
    }

    /** The maps of a layer for one input; without an input, of the difference. */
    row(name, layer, number, input) {
        const { c, h, w } = planes(layer.shape);
        const scale = Math.max(1, Math.floor(SIDE / Math.max(h, layer.shape.length === 3 ? w : 12)));
        const choosable = EXPLAINED.includes(layer.kind) && input !== null;
        const maps = Array.from({ length: Math.min(c, MOST) }, (_, channel) => {
            const canvas = el("canvas", { width: w, height: h });
            canvas.style.width = `${w * scale}px`;
            const label = layer.shape.length === 3 ? `${name}, ${layer.name}, map ${channel}` : `${name}, ${layer.name}`;
            if (choosable) return { canvas, element: this.choosable(canvas, label, { number, input, channel, h, w }) };
            canvas.setAttribute("role", "img");
            canvas.setAttribute("aria-label", label);
            return { canvas, element: el("span", { className: "map" }, canvas) };
        });
        if (choosable) maps.forEach((map, i) => (map.element.tabIndex = i === 0 ? 0 : -1));
        const more = c > MOST ? [el("span", {}, `and ${c - MOST} more maps`)] : [];
        const element = el("div", { className: "row" }, el("span", {}, name), el("div", { className: "maps" }, ...maps.map((m) => m.element), ...more));
        return { element, maps, input, h, w };
    }

    /** A map whose cells can be chosen, by pointer or by keys. */
    choosable(canvas, label, { number, input, channel, h, w }) {
        const cursor = el("span", { className: "cursor" });
        const button = el("button", { type: "button", className: "map", "aria-label": `${label}: choose a cell` }, canvas, cursor);
        let at = [Math.floor(h / 2), Math.floor(w / 2)];
        const show = () => Object.assign(cursor.style, {
            top: `${100 * at[0] / h}%`, left: `${100 * at[1] / w}%`, height: `${100 / h}%`, width: `${100 / w}%`,
        });
        const under = (event) => {
            const box = canvas.getBoundingClientRect();
            const inside = (share, n) => Math.min(Math.max(Math.floor(share * n), 0), n - 1);
            at = [inside((event.clientY - box.top) / box.height, h), inside((event.clientX - box.left) / box.width, w)];
            show();
        };
        button.onpointermove = under;
        button.onclick = (event) => {
            // Keys click without a place.
            if (event.detail > 0) under(event);
            this.explain(number, input, channel, at).catch(fault);
        };
        button.onkeydown = (event) => {
            const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
            const others = { PageUp: button.previousElementSibling, PageDown: button.nextElementSibling };
            if (event.key in steps) {
                const [dy, dx] = steps[event.key];
                at = [Math.min(Math.max(at[0] + dy, 0), h - 1), Math.min(Math.max(at[1] + dx, 0), w - 1)];
                show();
                button.setAttribute("aria-label", `${label}: row ${at[0]}, column ${at[1]}`);
            } else if (others[event.key]?.matches("button")) {
                button.tabIndex = -1;
                others[event.key].tabIndex = 0;
                others[event.key].focus();
            } else if (!(event.key in others)) return;
            event.preventDefault();
        };
        show();
        return button;
    }

    draw() {
        this.drawn.forEach(({ range, rows }, number) => {
            const all = this.inputs.map(([, layers]) => layers[number]);
            const low = Math.min(...all.map((l) => l.min)), high = Math.max(...all.map((l) => l.max));
            range.textContent = `${shown(low)} to ${shown(high)}`;
            const colour = all[0].kind === "input" ? grey(low, high) : sequential(low, high);
            for (const { maps, input, h, w } of rows) {
                const values = input === null ? all[0].values.map((v, i) => v - all[1].values[i]) : all[input].values;
                const size = input === null ? values.reduce((most, v) => Math.max(most, Math.abs(v)), 0) : 0;
                maps.forEach(({ canvas }, c) => {
                    paint(canvas, values.subarray(c * h * w, (c + 1) * h * w), w, h, input === null ? signed(size) : colour);
                });
            }
        });
    }

    /** Shows what made a cell: `[row, column]` of a map; of values in lines, the place that they give. */
    async explain(number, input, channel, [row, column]) {
        const [letter, layers] = this.inputs[input], layer = layers[number];
        const flat = layer.shape.length === 1, unit = row * planes(layer.shape).w + column;
        if (flat && unit >= layer.shape[0]) return;
        const [title, content] = await explanation(this.model(), layers, number, flat ? [0, 0, unit] : [channel, row, column]);
        byId("cell-title").textContent = `Input ${letter}, ${title}`;
        byId("cell-content").replaceChildren(...content);
        byId("cell").showModal();
    }
}
