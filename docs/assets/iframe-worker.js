// Pages that are opened from a disk may not start workers, and search needs one: there a hidden frame does its work.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = Object.assign(document.createElement("iframe"), { hidden: true, worker: this });
      this.frame.srcdoc = `<script>
        window.postMessage = data => frameElement.worker.dispatchEvent(new MessageEvent("message", { data }));
      </script><script src="${new URL(url, document.baseURI)}"></script>`;
      this.loaded = new Promise(done => { this.frame.onload = done; });
      document.body.append(this.frame);
    }

    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
