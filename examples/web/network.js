// The module's calls with arrays instead of addresses. Works in browsers and in Node.

export class Network {
    #calls;

    constructor(instance) {
        // A trap is a panic, which has left its words.
        const guarded = (call) => (...numbers) => {
            try {
                return call(...numbers);
            } catch {
                throw this.#failed();
            }
        };
        const { message, message_len, ...calls } = instance.exports;
        const wrap = ([name, value]) => [name, typeof value === "function" ? guarded(value) : value];
        this.#calls = { ...Object.fromEntries(Object.entries(calls).map(wrap)), message, message_len };
        this.#calls.watch();
    }

    static async fetch(url) {
        return new Network((await WebAssembly.instantiateStreaming(fetch(url))).instance);
    }

    /** Writes bytes to where the module makes room for them. The memory may move with every call. */
    #write(bytes, address) {
        new Uint8Array(this.#calls.memory.buffer, address, bytes.length).set(bytes);
    }

    #failed() {
        const text = new Uint8Array(this.#calls.memory.buffer, this.#calls.message(), this.#calls.message_len());
        return new Error(new TextDecoder().decode(text));
    }

    /** Images `[n, 28, 28]` and labels to learn from, as bytes. */
    learnFrom(images, labels) {
        this.#write(images, this.#calls.images(labels.length));
        const wide = Uint16Array.from(labels);
        this.#write(new Uint8Array(wide.buffer), this.#calls.labels(labels.length));
    }

    /** New weights, drawn by a seed. */
    start(seed) {
        if (!this.#calls.start(seed)) throw this.#failed();
    }

    /** A model's two files, as bytes. */
    load(config, tensors) {
        this.#write(config, this.#calls.config(config.length));
        this.#write(tensors, this.#calls.tensors(tensors.length));
        if (!this.#calls.load()) throw this.#failed();
    }

    /** One step of gradient descent; the mean loss before it. */
    step(batch, rate, momentum) {
        const loss = this.#calls.step(batch, rate, momentum);
        if (Number.isNaN(loss)) throw this.#failed();
        return loss;
    }

    /** Class and probabilities of an image of bytes, `[28, 28]`. */
    classify(image) {
        this.#write(image, this.#calls.picture());
        const found = this.#calls.classify();
        if (found < 0) throw this.#failed();
        const probabilities = new Float32Array(this.#calls.memory.buffer, this.#calls.probabilities(), 10).slice();
        return { class: found, probabilities };
    }
}
