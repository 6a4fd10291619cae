// What made a value of a layer: a convolution's window and kernel, a pooling's window, a unit's inputs and weights.

import { askJson, el, floatsOf, paint, shown, signed } from "./common.js";

/** Kinds of layers whose values can be explained. */
export const EXPLAINED = ["conv2d", "dense", "avg_pool", "max_pool", "subsample"];

/** Terms of a unit's sum that are listed, the largest ones. */
const LISTED = 12;

/** Title and elements for the cell `[channel, row, column]` of layer `number`; of a dense layer `[0, 0, unit]`. */
export async function explanation(model, layers, number, cell) {
    const layer = layers[number], dense = layer.kind === "dense";
    const unit = dense ? `&unit=${cell[2]}` : "";
    const weights = await askJson(`/v1/models/${model}/weights?layer=${layer.name}${unit}`);
    const given = layer.values[dense ? cell[2] : (cell[0] * layer.shape[1] + cell[1]) * layer.shape[2] + cell[2]];
    const make = dense ? ofUnit : layer.kind === "conv2d" ? ofConvolution : ofPooling;
    const place = dense ? `unit ${cell[2]}` : `map ${cell[0]}, row ${cell[1]}, column ${cell[2]}`;
    return [`${layer.name} · ${layer.kind}, ${place}`, make(weights, layers, cell, given)];
}

const sumOf = (values) => values.reduce((a, b) => a + b, 0);
const most = (values) => values.reduce((size, v) => Math.max(size, Math.abs(v)), 0);
const first = (text, otherwise = 0) => (text ? floatsOf(text)[0] : otherwise);

/** The line that says how the value came about. */
function total(words, result, given) {
    return el("p", { className: "sum" }, `${words} = ${shown(result)}; the layer gives `, el("strong", {}, shown(given)), ".");
}

/** Values of a window `[kh, kw]` of channel `c`; what lies beyond the border is `beyond`. */
function windowOf(source, c, top, left, [kh, kw], beyond, [down, across] = [1, 1]) {
    const [, ih, iw] = source.shape;
    return Array.from({ length: kh * kw }, (_, i) => {
        const [y, x] = [top + Math.floor(i / kw) * down, left + (i % kw) * across];
        return y >= 0 && y < ih && x >= 0 && x < iw ? source.values[(c * ih + y) * iw + x] : beyond;
    });
}

const corner = ({ stride, padding }, row, column) => [row * stride[0] - padding[0], column * stride[1] - padding[1]];

function ofConvolution(weights, layers, [channel, row, column], given) {
    const source = layers[weights.source], kernels = floatsOf(weights.weight);
    const bias = weights.bias ? floatsOf(weights.bias)[channel] : 0;
    const [outputs, ic, kh, kw] = weights.shape, [top, left] = corner(weights, row, column);
    const group = Math.floor(channel / (outputs / weights.groups)) * ic;
    const channels = Array.from({ length: ic }, (_, c) => {
        const window = windowOf(source, group + c, top, left, [kh, kw], 0, weights.dilation);
        const kernel = [...kernels.subarray((channel * ic + c) * kh * kw, (channel * ic + c + 1) * kh * kw)];
        const products = window.map((v, i) => v * kernel[i]);
        return { window, kernel, products, sum: sumOf(products) };
    });
    const sum = sumOf(channels.map((c) => c.sum));
    const colours = Object.fromEntries(["window", "kernel", "products"].map((part) => [part, signed(most(channels.flatMap((c) => c[part])))]));
    const blocks = channels.map((parts, c) => el("section", { className: "channel" },
        el("h3", {}, `Input channel ${group + c}: sum ${shown(parts.sum)}`),
        el("div", { className: "three" },
            heat("Window", parts.window, kw, colours.window), "×", heat("Kernel", parts.kernel, kw, colours.kernel),
            "=", heat("Products", parts.products, kw, colours.products))));
    return [total(`${shown(sum)} (products) + ${shown(bias)} (bias)`, sum + bias, given),
        el("p", { className: "hint" }, `What lies beyond the border counts as 0. The window comes from layer ${source.name}.`), ...blocks];
}

function ofPooling(weights, layers, [channel, row, column], given) {
    const source = layers[weights.source], size = weights.window, [top, left] = corner(weights, row, column);
    const window = windowOf(source, channel, top, left, size, weights.kind === "max_pool" ? -Infinity : 0);
    const table = heat("Window", window, size[1], signed(most(window.filter(Number.isFinite))));
    const from = `The window comes from map ${channel} of layer ${source.name}, row ${Math.max(top, 0)}, column ${Math.max(left, 0)} on.`;
    const hint = (words) => el("p", { className: "hint" }, `${words} ${from}`);
    if (weights.kind === "max_pool") {
        const at = window.indexOf(Math.max(...window));
        table.querySelectorAll("td")[at].classList.add("chosen");
        const place = `row ${top + Math.floor(at / size[1])}, column ${left + at % size[1]}`;
        return [total(`The largest of ${window.length} values, at ${place},`, window[at], given), hint("Beyond the border there is nothing to choose."), table];
    }
    const sum = sumOf(window), words = window.length <= 9 ? `(${window.map((v) => shown(v)).join(" + ").replaceAll("+ −", "− ")})` : `${shown(sum)} (sum)`;
    if (weights.kind === "avg_pool") {
        return [total(`${words} / ${window.length}`, sum / window.length, given), hint("What lies beyond the border counts as 0."), table];
    }
    const weight = floatsOf(weights.weight)[channel], bias = weights.bias ? floatsOf(weights.bias)[channel] : 0;
    return [total(`${words} × ${shown(weight)} (weight) + ${shown(bias)} (bias)`, sum * weight + bias, given), hint("What lies beyond the border counts as 0."), table];
}

function ofUnit(weights, layers, [, , unit], given) {
    const source = layers[weights.source], weight = [...floatsOf(weights.weight)], bias = first(weights.bias);
    const inputs = [...source.values], products = inputs.map((v, i) => v * weight[i]), sum = sumOf(products);
    // Behind a flattening there are still maps: so they are shown, and so the terms are named.
    let from = source;
    while (from.shape.length === 1 && (from.kind === "flatten" || from.kind === "dropout") && from.source !== null) from = layers[from.source];
    const [c, h, w] = from.shape.length === 3 ? from.shape : [1, Math.ceil(from.shape[0] / Math.min(from.shape[0], 20)), Math.min(from.shape[0], 20)];
    const name = (i) => (from.shape.length === 3 ? `map ${Math.floor(i / (h * w))}, row ${Math.floor(i / w) % h}, column ${i % w}` : `value ${i}`);
    const order = products.map((_, i) => i).sort((a, b) => Math.abs(products[b]) - Math.abs(products[a])).slice(0, LISTED);
    const rest = products.length - order.length, others = sum - sumOf(order.map((i) => products[i]));
    const rows = order.map((i) => [name(i), shown(inputs[i]), shown(weight[i]), shown(products[i])]);
    if (rest > 0) rows.push([`the ${rest} others`, "", "", shown(others)]);
    const head = ["From", "Input", "Weight", "Product"].map((text) => el("th", { scope: "col" }, text));
    const body = rows.map(([from, ...numbers]) => el("tr", {}, el("th", { scope: "row" }, from), ...numbers.map((n) => el("td", {}, n))));
    const terms = el("table", { className: "terms" }, el("caption", {}, `The ${order.length} terms that weigh most`), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
    const maps = [["Inputs", inputs, "×"], ["Weights", weight, "="], ["Products", products, ""]].flatMap(([title, values, sign]) => [mosaic(title, values, c, h, w), sign]);
    return [total(`${shown(sum)} (products) + ${shown(bias)} (bias)`, sum + bias, given),
        el("p", { className: "hint" }, `${inputs.length} inputs from layer ${source.name}, each times its weight for unit ${unit}. Blue is negative, orange positive, grey 0.`),
        el("div", { className: "three" }, ...maps), terms];
}

/** Maps `[c, h, w]` in one picture, coloured by sign and size. */
function mosaic(title, values, c, h, w) {
    const across = Math.max(1, Math.min(c, Math.ceil(Math.sqrt(c * h / w)))), down = Math.ceil(c / across), gap = c > 1 ? 1 : 0;
    const [width, height] = [across * (w + gap) - gap, down * (h + gap) - gap];
    const cells = new Array(width * height).fill(null), colour = signed(most(values));
    values.forEach((value, i) => {
        const [k, y, x] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
        cells[(Math.floor(k / across) * (h + gap) + y) * width + (k % across) * (w + gap) + x] = value;
    });
    const canvas = el("canvas", { role: "img", "aria-label": `${title}, ${c > 1 ? `${c} maps of ` : ""}${h}×${w}` });
    paint(canvas, cells, width, height, (value) => (value === null ? [120, 120, 120] : colour(value)));
    canvas.style.width = `${Math.max(1, Math.floor(260 / Math.max(width, height))) * width}px`;
    return el("figure", {}, el("figcaption", {}, `${title}, to ±${shown(most(values))}`), canvas);
}

/** Relative luminance as WCAG defines it; from 0.179 on black has more contrast than white. */
function luminance(...rgb) {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Numbers of a window, coloured by value. */
function heat(name, values, width, colour) {
    const body = el("tbody");
    for (let at = 0; at < values.length; at += width) {
        body.append(el("tr", {}, ...values.slice(at, at + width).map((value) => {
            if (!Number.isFinite(value)) return el("td", {}, "–");
            const [r, g, b] = colour(value);
            // Without the sign of what is rounded to 0.
            const cell = el("td", {}, value.toFixed(3).replace(/^-(?!0\.000$)/, "−").replace(/^-/, ""));
            cell.style.backgroundColor = `rgb(${r},${g},${b})`;
            cell.style.color = luminance(r, g, b) > 0.179 ? "#000" : "#fff";
            return cell;
        })));
    }
    return el("figure", {}, el("figcaption", {}, name), el("table", { className: "heat", "aria-label": name }, body));
}
