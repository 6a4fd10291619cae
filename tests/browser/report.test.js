// Reports in a real browser: of one run, and of three compared.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { data, launch, lenet, looks, assertSound, open, scratch, screenshot } from "./browser.js";

let browser, directory;
const cleanups = [];

before(async () => {
    browser = await launch();
    directory = scratch({ after: (task) => cleanups.push(task) });
    const train = (...args) => lenet(directory, "train", ...args, "--data", data);
    await train("lenet-relu-max", "--epochs", "15", "--out", "one");
    await train("lenet-relu-max", "--epochs", "20", "--set", "lr=0.05", "--out", "two");
    await train("softmax", "--epochs", "6", "--out", "three");
    await lenet(directory, "report", "one", "two", "three", "-o", "compared.html");
});

after(async () => {
    await browser?.close();
    cleanups.forEach((task) => task());
});

const address = (...path) => pathToFileURL(join(directory, ...path)).href;

for (const look of looks) {
    const named = `${look.width} px, ${look.colorScheme}`;

    test(`the report of a run is sound, ${named}`, async (t) => {
        const page = await open(t, browser, address("one", "report.html"), look);
        await page.locator("summary").evaluateAll((all) => all.forEach((summary) => summary.click()));
        await assertSound(page);
        await screenshot(page, `report-${look.width}-${look.colorScheme}`);
    });

    test(`the report of three runs is sound, ${named}`, async (t) => {
        const page = await open(t, browser, address("compared.html"), look);
        await assertSound(page);
        await screenshot(page, `compared-${look.width}-${look.colorScheme}`);
    });
}

test("it shows what the run has measured", async (t) => {
    const page = await open(t, browser, address("one", "report.html"), looks[0]);
    const lines = readFileSync(join(directory, "one", "metrics.jsonl"), "utf8").trim().split("\n");
    const last = JSON.parse(lines.at(-1));
    const fact = (name) => page.locator(".facts div", { hasText: name }).locator("dd").first().innerText();
    assert.equal(await fact("Accuracy"), `${(100 * last.test_accuracy).toFixed(2)} %`);
    assert.equal(await fact("Epochs"), "15 of 15");
    // The matrix counts every image once.
    const cells = await page.locator(".matrix td:not(:empty)").evaluateAll((all) => all.map((cell) => parseInt(cell.firstChild.data)));
    assert.equal(cells.length, 100);
    assert.equal(cells.reduce((a, b) => a + b), 256);
    // All pictures are there, and hard-edged.
    const images = await page.locator("img").evaluateAll((all) =>
        all.map((image) => [image.naturalWidth > 0, getComputedStyle(image).imageRendering, image.alt !== ""]));
    assert.ok(images.length > 40);
    assert.deepEqual([...new Set(images.map(String))], ["true,pixelated,true"]);
    const axisLabels = await page.locator("#loss-title").evaluate((title) => title.parentElement.querySelectorAll("text").length);
    assert.ok(axisLabels > 6);
});

test("it can be walked through with the keyboard", async (t) => {
    const page = await open(t, browser, address("one", "report.html"), looks[0]);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "content");
    // What scrolls takes the focus, so that the arrow keys scroll it.
    const matrix = page.locator(".wide", { has: page.locator(".matrix") });
    await matrix.focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction((element) => element.scrollLeft > 0, await matrix.elementHandle());
});

test("curves of the dark theme have its colours", async (t) => {
    const stroke = async (colorScheme) => {
        const page = await open(t, browser, address("one", "report.html"), { width: 1600, colorScheme });
        return page.locator(".chart polyline[stroke='#0B62C4']").first().evaluate((line) => getComputedStyle(line).stroke);
    };
    assert.equal(await stroke("light"), "rgb(11, 98, 196)");
    assert.equal(await stroke("dark"), "rgb(108, 176, 255)");
});

test("the comparison names what differs", async (t) => {
    const page = await open(t, browser, address("compared.html"), looks[2]);
    assert.equal(await page.locator("h1").innerText(), "one, two, three compared");
    const difference = page.getByRole("region", { name: "Recipes of one and two" }).locator("tbody tr");
    assert.deepEqual(await difference.allInnerTexts(), ["train.epochs\t15\t20", "train.lr\t0.1\t0.05"]);
    const ids = await page.locator("[id]").evaluateAll((all) => all.map((element) => element.id));
    assert.equal(new Set(ids).size, ids.length);
    const targets = await page.locator("nav a").evaluateAll((all) => all.map((link) => link.hash.slice(1)));
    assert.deepEqual(targets.filter((target) => !ids.includes(target)), []);
});
