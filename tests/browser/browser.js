// What all browser tests share: a headless Chromium of the system, pages that are watched, checks of accessibility.
//
// `cargo xtask test-browser` installs what is needed and sets LENET to the binary under test. Test files are called
// NAME.test.js, and run by Node's own test runner.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import axe from "axe-core";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
export const root = resolve(here, "../..");

/** 512 training and 256 test images. */
export const data = `idx:${join(root, "crates/lenet/tests/fixtures/fashion-mnist-small")}`;

/** Phone and desktop, light and dark. */
export const looks = [360, 1600].flatMap((width) => ["light", "dark"].map((colorScheme) => ({ width, colorScheme })));

function browserPath() {
    const names = ["chromium", "chromium-browser", "google-chrome"];
    const folders = (process.env.PATH ?? "").split(delimiter);
    const found = names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
    const path = process.env.CHROMIUM ?? found;
    assert.ok(path, "there is no Chromium: install it, or set CHROMIUM to its path");
    return path;
}

/** A headless browser; close it at the end. Root, as in containers, has no sandbox. */
export function launch() {
    return chromium.launch({ executablePath: browserPath(), args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

/** A directory that is removed at the end of the test `t`. */
export function scratch(t) {
    const path = mkdtempSync(join(tmpdir(), "lenet-browser-"));
    t.after(() => rmSync(path, { recursive: true, force: true }));
    return path;
}

const binary = () => process.env.LENET ?? join(root, "target/release/lenet");
const environment = (cwd) => ({ ...process.env, LENET_OFFLINE: "1", LENET_CACHE: join(cwd, "cache") });

/** Runs `lenet` in a directory to its end; gives what it wrote to standard output. */
export async function lenet(cwd, ...args) {
    return (await promisify(execFile)(binary(), args, { cwd, env: environment(cwd) })).stdout;
}

/** Starts `lenet`, for a server; it is stopped at the end of the test `t`. */
export function start(t, cwd, ...args) {
    const child = spawn(binary(), args, { cwd, env: environment(cwd), stdio: ["ignore", "pipe", "pipe"] });
    t.after(() => child.kill("SIGTERM"));
    return child;
}

/**
 * A page of a width and colour scheme that is closed at the end of the test `t`. `page.faults` gathers errors of the
 * console, exceptions, and requests to anywhere but the origin of `url` (a file asks for itself alone).
 */
export async function open(t, browser, url, { width, colorScheme, ...options }) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, ...options });
    t.after(() => context.close());
    const page = await context.newPage();
    page.faults = [];
    const own = (asked) => asked.startsWith("data:") || asked.startsWith("blob:") || asked.split("#")[0] === url
        || (!url.startsWith("file:") && new URL(asked).origin === new URL(url).origin);
    page.on("console", (message) => message.type() === "error" && page.faults.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => page.faults.push(`exception: ${error}`));
    page.on("request", (request) => own(request.url()) || page.faults.push(`request: ${request.url()}`));
    await page.goto(url);
    return page;
}

/** No fault, nothing wider than the window, and no serious violation that axe-core finds. */
export async function assertSound(page) {
    assert.deepEqual(page.faults, []);
    const [content, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(content <= view, `the page is ${content} px wide in a window of ${view} px`);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, help, nodes }) => `${id}: ${help}, ${nodes.length} times, as ${nodes[0].html} (${nodes[0].failureSummary})`);
    assert.deepEqual(told, []);
}

/** Leaves a picture of the whole page in the directory SCREENSHOTS, if that is set, for a person to look at. */
export async function screenshot(page, name) {
    const directory = process.env.SCREENSHOTS;
    if (directory) {
        mkdirSync(directory, { recursive: true });
        await page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
    }
}
