// The served page in a real browser: drawing, layers, cells, comparison, runs that are trained meanwhile.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { createInterface } from "node:readline";
import { assertSound, data, launch, lenet, looks, open, scratch, screenshot, start } from "./browser.js";

let browser, directory, url;
const cleanups = [];

before(async () => {
    browser = await launch();
    const keep = { after: (task) => cleanups.unshift(task) };
    directory = scratch(keep);
    await lenet(directory, "train", "lenet-relu-max", "--epochs", "8", "--out", "runs/one", "--data", data);
    await lenet(directory, "train", "softmax", "--epochs", "5", "--out", "runs/two", "--data", data);
    const server = start(keep, directory, "serve", "runs/one", "--addr", "127.0.0.1:0", "--allow-training", "--quiet");
    [url] = await once(createInterface(server.stdout), "line");
});

after(async () => {
    await browser?.close();
    cleanups.forEach((task) => task());
});

const panel = (page, letter) => page.getByRole("region", { name: `Input ${letter}` });
const verdict = (page, letter) => panel(page, letter).locator(".verdict");

/** The sum that the open dialog tells is what the layer gives. */
async function assertSum(page) {
    const words = await page.locator("#cell .sum").innerText();
    const [, total, given] = words.replaceAll("−", "-").match(/= ([-\d.e]+); the layer gives ([-\d.e]+)\.$/);
    assert.ok(Math.abs(total - given) <= 0.0011, words);
}

/** Draws a shirt-like outline with the mouse, and waits for what the model says. */
async function draw(page) {
    const box = await panel(page, "A").locator(".draw").boundingBox();
    const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
    await page.mouse.move(...at(0.3, 0.2));
    await page.mouse.down();
    for (const [x, y] of [[0.7, 0.2], [0.7, 0.8], [0.3, 0.8], [0.3, 0.2], [0.5, 0.5]]) await page.mouse.move(...at(x, y), { steps: 6 });
    await page.mouse.up();
    await page.locator(".layer").first().waitFor();
}

test("drawing gives a prediction, the layers, and the sum behind a cell", async (t) => {
    const page = await open(t, browser, url, looks[2]);
    const answers = [];
    page.on("response", (response) => response.url().includes("/v1/activations") && answers.push(response));
    await draw(page);
    await page.waitForLoadState("networkidle");
    const answer = await answers.at(-1).json();
    const best = answer.probabilities.indexOf(Math.max(...answer.probabilities));
    assert.equal(await verdict(page, "A").innerText(), `${answer.labels[best]}, ${(100 * answer.probabilities[best]).toFixed(0)} %`);
    const sum = answer.probabilities.reduce((a, b) => a + b);
    assert.ok(Math.abs(sum - 1) < 1e-9, `probabilities sum to ${sum}`);
    assert.equal(await page.locator(".layer").count(), answer.layers.length);
    assert.match(await panel(page, "A").locator(".strange").innerText(), /Energy .* of the test images/);
    // The first convolution's maps show more than one value.
    const colours = await page.locator(".layer").nth(1).locator("canvas").first().evaluate((canvas) =>
        new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size);
    assert.ok(colours > 10, `${colours} colours`);
    // By keyboard, in the second convolution, whose sums go over six channels.
    await page.getByRole("button", { name: "Input A, 3, map 0: choose a cell" }).focus();
    await page.keyboard.press("PageDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    await assertSum(page);
    assert.match(await page.locator("#cell-title").innerText(), /map 1, row 4, column 5/);
    assert.equal(await page.locator("#cell .channel").count(), 6);
    await assertSound(page);
    await screenshot(page, "page-cell");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#cell").isVisible(), false);
    // By pointer.
    await page.locator(".layer").nth(1).locator("button.map").nth(2).click({ position: { x: 3, y: 3 } });
    // The weights arrive a moment later.
    await page.locator("#cell-title", { hasText: /map 2, row [01], column [01]/ }).waitFor();
    await page.keyboard.press("Escape");
    // A maximum, and a unit of the first dense layer behind the maps of the last pooling.
    await page.getByRole("button", { name: "Input A, 2, map 3: choose a cell" }).click({ position: { x: 40, y: 40 } });
    await page.locator("#cell-title", { hasText: "2 · max_pool, map 3" }).waitFor();
    await assertSum(page);
    assert.equal(await page.locator("#cell td").count(), 4);
    assert.equal(await page.locator("#cell td.chosen").count(), 1);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Input A, 7: choose a cell" }).focus();
    for (const key of ["ArrowLeft", "Enter"]) await page.keyboard.press(key);
    await page.locator("#cell-title", { hasText: "7 · dense, unit" }).waitFor();
    await assertSum(page);
    assert.equal(await page.locator("#cell .terms tbody tr").count(), 13);
    assert.match(await page.locator("#cell .terms").innerText(), /map \d+, row \d+, column \d+/);
    await assertSound(page);
    await screenshot(page, "page-unit");
});

test("one draws with the keyboard alone", async (t) => {
    const page = await open(t, browser, url, looks[0]);
    const canvas = panel(page, "A").locator(".draw");
    await panel(page, "A").getByRole("button", { name: /test image/ }).first().waitFor();
    await canvas.focus();
    const keys = ["ArrowUp", "ArrowLeft", " ", ...Array(8).fill("ArrowRight"), "Shift+ArrowDown", " ", "ArrowDown"];
    for (const key of keys) await page.keyboard.press(key === " " ? "Space" : key);
    // Where the pen was down there is ink, where it was up there is none.
    const level = (x, y) => canvas.evaluate((c, at) => c.getContext("2d").getImageData(...at, 1, 1).data[0], [x, y]);
    assert.ok(await level(17, 13) > 200 && await level(21, 16) > 200);
    assert.ok(await level(8, 13) === 0 && await level(21, 20) === 0);
    assert.equal(await panel(page, "A").getByText(/Pen up, row 18, column 21/).count(), 1);
    await page.locator(".layer").first().waitFor();
    await assertSound(page);
    await screenshot(page, "page-pen");
});

for (const look of looks) {
    const named = `${look.width}-${look.colorScheme}`;

    test(`two inputs are compared, ${named}`, async (t) => {
        const page = await open(t, browser, url, look);
        await draw(page);
        await page.getByLabel("Compare two inputs").check();
        await panel(page, "B").getByLabel("Test images of").selectOption({ index: 5 });
        const image = panel(page, "B").getByRole("button", { name: /test image/ }).first();
        assert.equal(await panel(page, "B").getByRole("button", { name: /test image/ }).count(), 12);
        await image.click();
        await page.getByText("A − B").first().waitFor();
        await page.waitForLoadState("networkidle");
        await assertSound(page);
        await screenshot(page, `page-look-${named}`);
    });

    test(`runs are compared, ${named}`, async (t) => {
        const page = await open(t, browser, `${url}/#runs`, look);
        for (const name of ["one", "two"]) await page.getByRole("checkbox", { name: `Show ${name}` }).check();
        await page.getByRole("region", { name: "Loss" }).getByText("one, test").waitFor();
        await page.getByRole("region", { name: "Loss" }).getByText("two, test").waitFor();
        await page.getByText("The numbers").click();
        await page.locator("#numbers tbody tr").nth(12).waitFor();
        assert.equal(await page.locator("#numbers tbody tr").count(), 13);
        await assertSound(page);
        await screenshot(page, `page-runs-${named}`);
    });
}

test("a picture of a file is taken", async (t) => {
    const page = await open(t, browser, url, looks[0]);
    const png = await page.evaluate(() => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 60, height: 60 });
        const context = canvas.getContext("2d");
        context.fillStyle = "#fff";
        context.fillRect(0, 0, 60, 60);
        context.fillStyle = "#000";
        context.fillRect(20, 10, 20, 40);
        return canvas.toDataURL("image/png").split(",")[1];
    });
    const file = { name: "a.png", mimeType: "image/png", buffer: Buffer.from(png, "base64") };
    await page.getByLabel("Picture for input A").setInputFiles(file);
    await page.locator(".layer").first().waitFor();
    // Dark on light becomes light on dark, as the network knows it.
    const corner = await panel(page, "A").locator(".draw").evaluate((canvas) => canvas.getContext("2d").getImageData(0, 0, 1, 1).data[0]);
    assert.ok(corner < 30, `the corner is ${corner}`);
    await page.getByLabel("Picture for input A").setInputFiles({ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
    await page.getByRole("alert").waitFor();
});

test("a training is started, followed and stopped", async (t) => {
    const page = await open(t, browser, `${url}/#runs`, looks[2]);
    await page.getByRole("combobox", { name: "Recipe" }).selectOption("lenet-relu-max");
    assert.equal(await page.getByRole("combobox", { name: "Dataset" }).inputValue(), data);
    await page.getByLabel("Epochs", { exact: true }).fill("2000");
    await page.getByRole("button", { name: "Start" }).click();
    // Live: the epoch that is told grows while nobody does anything.
    const live = page.locator("#runs-live");
    await page.waitForFunction(() => /lenet-relu-max-1, epoch \d+/.test(document.querySelector("#runs-live").textContent));
    const told = await live.innerText();
    await page.waitForFunction((before) => document.querySelector("#runs-live").textContent !== before, told);
    await page.getByRole("button", { name: "Stop lenet-relu-max-1" }).click();
    // What has stopped says so at once, and goes on to the epoch that is asked for.
    const resume = page.getByRole("button", { name: "Resume lenet-relu-max-1" });
    await resume.waitFor();
    const row = page.getByRole("row", { name: /lenet-relu-max-1/ });
    const done = Number((await row.innerText()).match(/(\d+) of 2000/)[1]);
    await page.getByLabel("Epochs of lenet-relu-max-1 in all").fill(String(done + 3));
    await screenshot(page, "page-resume");
    await resume.click();
    await row.getByText(`${done + 3} of ${done + 3}`).waitFor();
    await row.getByText("finished").waitFor();
    assert.deepEqual(page.faults, []);
});
