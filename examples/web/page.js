// The page: fetches the images and the module, calls it, shows what comes back.

import { Network } from "./network.js";

const BATCH = 32, RATE = 0.02, MOMENTUM = 0.9, EPOCHS = 20, SHOWN = 24;
const element = (id) => document.getElementById(id);

/** The content of a gzipped IDX file, without its header. */
async function idx(name) {
    const response = await fetch(`data/${name}.gz`);
    if (!response.ok) throw new Error(`data/${name}.gz: ${response.status}`);
    const plain = response.body.pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(plain).arrayBuffer());
    return bytes.subarray(4 + 4 * bytes[3]);
}

const image = (images, i) => images.subarray(784 * i, 784 * (i + 1));

/** A canvas with an image of bytes. */
function canvas(pixels) {
    const canvas = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
    const shown = new ImageData(28, 28);
    pixels.forEach((value, i) => shown.data.set([value, value, value, 255], 4 * i));
    canvas.getContext("2d").putImageData(shown, 0, 0);
    return canvas;
}

const [network, classes, trainImages, trainLabels, testImages, testLabels] = await Promise.all([
    Network.fetch("lenet_web.wasm"),
    fetch("data/classes.txt").then((response) => response.text()).then((text) => text.trim().split("\n")),
    idx("train-images-idx3-ubyte"), idx("train-labels-idx1-ubyte"),
    idx("t10k-images-idx3-ubyte"), idx("t10k-labels-idx1-ubyte"),
]);
network.learnFrom(trainImages, trainLabels);

let losses = [], stop = false, selected = null;

function drawCurve() {
    const highest = Math.max(2.5, ...losses);
    const point = (loss, i) => `${(600 * i) / Math.max(losses.length - 1, 1)},${158 - (156 * loss) / highest}`;
    element("curve").firstElementChild.setAttribute("points", losses.map(point).join(" "));
}

function showProbabilities() {
    if (selected === null) return;
    const { probabilities } = network.classify(image(testImages, selected));
    const row = (p, i) => {
        const row = document.createElement("tr");
        const name = Object.assign(document.createElement("th"), { scope: "row", textContent: classes[i] });
        const meter = Object.assign(document.createElement("meter"), { value: p, ariaLabel: classes[i] });
        row.append(name, document.createElement("td"), document.createElement("td"));
        row.children[1].append(meter);
        row.children[2].textContent = p.toFixed(3);
        return row;
    };
    element("bars").caption.textContent = `Image ${selected}, in truth: ${classes[testLabels[selected]]}`;
    element("bars").tBodies[0].replaceChildren(...Array.from(probabilities, row));
}

/** Classifies all test images; shows the first ones' classes. The share of hits. */
function test() {
    let hits = 0;
    const cells = element("grid").children;
    for (let i = 0; i < testLabels.length; i++) {
        const found = network.classify(image(testImages, i)).class;
        hits += found === testLabels[i];
        if (i < cells.length) {
            cells[i].lastChild.textContent = classes[found];
            cells[i].classList.toggle("wrong", found !== testLabels[i]);
        }
    }
    showProbabilities();
    return hits / testLabels.length;
}

function tell(words) {
    const accuracy = test();
    const loss = losses.length ? `, loss ${losses.at(-1).toFixed(3)}` : "";
    element("state").textContent = `${words}${loss}, ${(100 * accuracy).toFixed(1)} % of the test images right.`;
}

const pause = () => new Promise((resolve) => setTimeout(resolve));

async function train() {
    const perEpoch = Math.floor(trainLabels.length / BATCH);
    const button = element("train");
    [stop, button.textContent] = [false, "Stop"];
    for (let step = 0; step < EPOCHS * perEpoch && !stop; step++) {
        losses.push(network.step(BATCH, RATE, MOMENTUM));
        if ((step + 1) % perEpoch === 0) {
            drawCurve();
            tell(`Epoch ${(step + 1) / perEpoch} of ${EPOCHS}`);
            await pause();
        }
    }
    [stop, button.textContent] = [true, "Train"];
    document.body.dataset.losses = JSON.stringify(losses);
}

function begin(words) {
    losses = [];
    drawCurve();
    tell(words);
}

element("grid").append(...Array.from({ length: SHOWN }, (_, i) => {
    const cell = document.createElement("button");
    cell.append(canvas(image(testImages, i)), "…");
    cell.addEventListener("click", () => { selected = i; showProbabilities(); });
    return cell;
}));
element("train").addEventListener("click", () => (element("train").textContent === "Stop" ? (stop = true) : train()));
element("again").addEventListener("click", () => {
    stop = true;
    network.start(Math.floor(Math.random() * 2 ** 31));
    begin("New weights");
});
element("open").addEventListener("change", async ({ target }) => {
    stop = true;
    try {
        const file = async (ending) => {
            const found = [...target.files].find((file) => file.name.endsWith(ending));
            if (!found) throw new Error(`choose the model's two files, there is no *${ending}`);
            return new Uint8Array(await found.arrayBuffer());
        };
        network.load(await file(".json"), await file(".safetensors"));
        begin("Opened");
    } catch (error) {
        element("state").textContent = `Not opened: ${error.message}`;
    }
});
network.start(0);
begin("New weights");
document.querySelectorAll("[disabled]").forEach((control) => (control.disabled = false));
