// LeNet in a browser tab: it classifies, learns, and opens a model, in Chromium; and gives what the program gives.

import assert from "node:assert/strict";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { data, launch, lenet, looks, assertSound, open, root, scratch, screenshot } from "../browser.js";

const site = process.env.WEB ?? join(root, "target/web");
const { Network } = await import(join(site, "network.js"));
const types = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".wasm": "application/wasm" };

let browser, server, address;

before(async () => {
    browser = await launch();
    server = createServer((request, response) => {
        const path = join(site, request.url === "/" ? "index.html" : new URL(request.url, "http://x").pathname);
        if (!existsSync(path)) return response.writeHead(404).end();
        response.writeHead(200, { "content-type": types[extname(path)] ?? "application/octet-stream" });
        createReadStream(path).pipe(response);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `http://127.0.0.1:${server.address().port}/`;
});

after(async () => {
    await browser?.close();
    server?.close();
});

const images = () => gunzipSync(readFileSync(join(site, "data/t10k-images-idx3-ubyte.gz"))).subarray(16);
const network = async () =>
    new Network((await WebAssembly.instantiate(readFileSync(join(site, "lenet_web.wasm")))).instance);

async function model(t) {
    const directory = scratch(t);
    await lenet(directory, "train", "lenet-relu-max", "--epochs", "12", "--set", "batch=32", "--data", data, "--out", "run");
    return join(directory, "run/model");
}

test("a model gives the probabilities that the program gives", async (t) => {
    const directory = await model(t);
    const pictures = join(root, "crates/lenet/tests/fixtures/pictures");
    const names = ["00-ankle-boot", "01-pullover", "02-trouser", "08-sandal"];
    const files = names.map((name) => join(pictures, `${name}.png`));
    const told = await lenet(directory, "predict", "--json", "--top", "10", directory, ...files);
    const inModule = await network();
    inModule.load(readFileSync(join(directory, "config.json")), readFileSync(join(directory, "model.safetensors")));
    const lines = told.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(lines.length, names.length);
    lines.forEach(({ top }, i) => {
        // The pictures are test images, whose numbers they are named by.
        const number = Number(names[i].slice(0, 2));
        const found = inModule.classify(images().subarray(784 * number, 784 * (number + 1)));
        assert.equal(found.class, top[0].index);
        // Multiply-adds round twice there.
        top.forEach(({ index, probability }) => assert.ok(Math.abs(found.probabilities[index] - probability) < 1e-5));
    });
});

test("what is no model is refused in words", async () => {
    const inModule = await network();
    assert.throws(() => inModule.classify(new Uint8Array(784)), /there is no network yet/);
    assert.throws(() => inModule.load(new Uint8Array(3), new Uint8Array(3)), /config.json cannot be understood/);
    inModule.start(1);
    assert.throws(() => inModule.step(32, 0.1, 0), /0 images are less than a batch of 32/);
});

for (const look of looks) {
    test(`the page learns, ${look.width} px, ${look.colorScheme}`, async (t) => {
        const page = await open(t, browser, address, look);
        await page.locator("#train:enabled").waitFor();
        await page.locator("#train").click();
        await page.waitForFunction(() => document.body.dataset.losses, null, { timeout: 120_000 });
        const losses = JSON.parse(await page.evaluate(() => document.body.dataset.losses));
        const mean = (part) => part.reduce((sum, loss) => sum + loss, 0) / part.length;
        const [first, last] = [mean(losses.slice(0, 10)), mean(losses.slice(-10))];
        assert.ok(first > 1.5 && last < 0.5 * first, `${first} to ${last}`);
        const state = await page.locator("#state").textContent();
        assert.ok(Number(/([\d.]+) % of the test images/.exec(state)[1]) > 65, state);
        await page.locator("#grid button").nth(2).click();
        await page.locator("#bars tr").nth(9).waitFor();
        await assertSound(page);
        await screenshot(page, `web-${look.width}-${look.colorScheme}`);
    });
}

test("the page opens a model, and says what is none", async (t) => {
    const directory = await model(t);
    const page = await open(t, browser, address, looks[0]);
    await page.locator("#train:enabled").waitFor();
    const files = ["config.json", "model.safetensors"].map((name) => join(directory, name));
    await page.locator("#open").setInputFiles(files);
    await page.getByText("Opened").waitFor();
    const state = await page.locator("#state").textContent();
    assert.ok(Number(/([\d.]+) % of the test images/.exec(state)[1]) > 60, state);
    await page.locator("#open").setInputFiles(files.slice(0, 1));
    await page.getByText("there is no *.safetensors").waitFor();
    assert.deepEqual(page.faults, []);
});
