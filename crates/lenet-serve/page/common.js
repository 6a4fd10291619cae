// What all parts of the page share: elements, requests, colours.

/** An element with properties (names with a dash, and role, become attributes) and children. */
export function el(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
        if (name.includes("-") || name === "role" || name === "scope") element.setAttribute(name, value);
        else element[name] = value;
    }
    element.append(...children);
    return element;
}

/** An element of SVG with attributes. */
export function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
}

export const byId = (id) => document.getElementById(id);

// The token lives as long as the page: nothing is stored.
let token = "";
export const hasToken = () => token !== "";

/** Asks for the token and waits for it. */
function askForToken() {
    const form = byId("token-form");
    form.hidden = false;
    byId("token").focus();
    return new Promise((resolve) => {
        form.onsubmit = (event) => {
            event.preventDefault();
            token = byId("token").value.trim();
            form.hidden = true;
            resolve();
        };
    });
}

/** A request; fails with the server's own words. Asks for the token if the server wants one. */
export async function ask(path, options = {}) {
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const answer = await fetch(path, { ...options, headers });
    if (answer.status === 401) {
        waiting ??= askForToken().finally(() => (waiting = null));
        await waiting;
        return ask(path, options);
    }
    if (!answer.ok) {
        const told = await answer.json().catch(() => ({}));
        throw new Error(told.error ?? `the server answers ${answer.status}`);
    }
    return answer;
}
let waiting = null;

export const askJson = async (path, options) => (await ask(path, options)).json();

export const postJson = (path, value) =>
    askJson(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

/** Says what went wrong; nothing takes it away. */
export function fault(error) {
    const place = byId("fault");
    place.hidden = !error;
    place.textContent = error ? String(error.message ?? error) : "";
}

export const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
export const floatsOf = (text) => new Float32Array(bytesOf(text).buffer);

/** A number as people read it. */
export function shown(value, digits = 3) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
    return value.toFixed(size >= 100 ? 1 : digits).replace("-", "−");
}

// Dark blue over green to yellow, as light as the value is large; and blue over grey to orange, for signed values.
const SEQUENCE = [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98], [173, 220, 48], [253, 231, 37]];
const SIGNED = [[20, 70, 150], [70, 135, 205], [165, 200, 230], [240, 240, 238], [248, 195, 140], [222, 125, 45], [150, 65, 5]];

function between(stops, share) {
    const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((v, i) => Math.round(v + (stops[low + 1][i] - v) * (at - low)));
}

/** Colours of values from low to high. */
export const sequential = (low, high) => (value) => between(SEQUENCE, high > low ? (value - low) / (high - low) : 0.5);
/** Colours of values from -size to size. */
export const signed = (size) => (value) => between(SIGNED, size > 0 ? 0.5 + value / size / 2 : 0.5);
/** Grey, from low to high. */
export const grey = (low, high) => (value) => {
    const level = Math.round(255 * (high > low ? (value - low) / (high - low) : 0));
    return [level, level, level];
};

/** Draws values `[h, w]` with a pixel each. */
export function paint(canvas, values, w, h, colour) {
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const context = canvas.getContext("2d");
    const image = context.createImageData(w, h);
    for (let i = 0; i < w * h; i++) {
        if (i >= values.length) continue;
        image.data.set(colour(values[i]), 4 * i);
        image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
}

/** Draws bytes `[c, h, w]`, grey or in colour. */
export function paintImage(canvas, bytes, [c, h, w]) {
    const plane = h * w;
    const indices = Array.from({ length: plane }, (_, i) => i);
    paint(canvas, indices, w, h, (i) => [0, 1, 2].map((k) => bytes[(c === 3 ? k : 0) * plane + i]));
}
