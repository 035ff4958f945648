BEGIN TRANSACTION;
CREATE TABLE accepted(
        machine TEXT NOT NULL, hostname TEXT NOT NULL, manifest TEXT NOT NULL, subject TEXT NOT NULL,
        run INTEGER NOT NULL, PRIMARY KEY(machine, hostname, manifest, subject));
CREATE TABLE findings(run INTEGER NOT NULL, code TEXT NOT NULL, severity TEXT NOT NULL, subject TEXT NOT NULL);
CREATE TABLE measurements(
        run INTEGER NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, unit TEXT NOT NULL,
        budget REAL, sound INTEGER NOT NULL, cold INTEGER NOT NULL);
CREATE TABLE models(digest TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "models" VALUES('843aec3a606fb06b1554f34dce02b450677046b23d58bbe087be51b4ddc0b90c','{"budget":{},"bytes":1616,"files":{"config.json":[227,1795807495075219411,5718641],"model.safetensors":[1120,1795807495075294977,5718642],"tokenizer.json":[199,1795807495075346309,5718643],"tokenizer_config.json":[70,1795807495075374757,5718644]},"found":true,"path":"/srv/models/one"}');
INSERT INTO "models" VALUES('1f724655387842d52376b0eafa0c4862aceab41797007cc16ab06f04965ca4e9','{"budget":{},"bytes":560,"files":{"adapter_config.json":[136,1795807495075429492,5718646],"adapter_model.safetensors":[424,1795807495075469548,5718647]},"found":true,"path":"/srv/models/intro"}');
INSERT INTO "models" VALUES('9448e53e88fb8046a64d6e3973a6476b71abe6da99e0cba6a10c3b3a6f966b35','{"budget":{"load_s":30.0},"bytes":3717,"files":{"config.json":[227,1795807496032454511,5718653],"model.safetensors":[1120,1795807498668454622,5718656],"sage-doctor-merge.json":[2101,1795807498676454623,5718657],"tokenizer.json":[199,1795807496036797386,5718654],"tokenizer_config.json":[70,1795807496036849951,5718655]},"found":true,"path":"/srv/models/merged"}');
CREATE TABLE runs(
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, verb TEXT NOT NULL, level TEXT NOT NULL,
        depth INTEGER NOT NULL, machine TEXT NOT NULL, hostname TEXT NOT NULL, boot_id TEXT, manifest TEXT NOT NULL,
        targets TEXT NOT NULL, roles TEXT NOT NULL, verdict TEXT NOT NULL, exit_code INTEGER NOT NULL,
        duration_s REAL NOT NULL, jobs INTEGER NOT NULL, measured INTEGER NOT NULL, disk_free INTEGER,
        snapshot TEXT);
INSERT INTO "runs" VALUES(1,1795807499.0,'check','static',0,'thor','vm','4fab1b78-7613-47e2-8c6d-4f754a8fdf71','/srv/models/sage-doctor.toml','[]','["talk"]','healthy',0,3.75807549999990442302e-01,1,0,65581375488,'7a368c2ad4625420c9689db9fa4f025b6841d2ede04709eacaf7c3de0112295b');
INSERT INTO "runs" VALUES(2,1795807501.0,'gate','static',0,'thor','vm','4fab1b78-7613-47e2-8c6d-4f754a8fdf71','/srv/models/sage-doctor.toml','["talk"]','["talk"]','healthy',0,0.361541500000385,1,0,65582592000,'e2be7ee59519cab34595eb2a2b47b354c49c8c1324e5be4e128f4f2f89b7f67a');
CREATE TABLE snapshots(digest TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "snapshots" VALUES('7a368c2ad4625420c9689db9fa4f025b6841d2ede04709eacaf7c3de0112295b','{"boot_id":"4fab1b78-7613-47e2-8c6d-4f754a8fdf71","doctor":"0.1.0","interpreter":"/srv/models/.venv/bin/python","interpreter_problem":null,"manifest":"2485b61bd84c9b9fcd7ba1ac78e6294a6751fdc64c371e66806a973880ea68bc","memory_bytes":25276502016,"models":{"intro":"1f724655387842d52376b0eafa0c4862aceab41797007cc16ab06f04965ca4e9","merged":"9448e53e88fb8046a64d6e3973a6476b71abe6da99e0cba6a10c3b3a6f966b35","one":"843aec3a606fb06b1554f34dce02b450677046b23d58bbe087be51b4ddc0b90c"},"packages":{"accelerate":"1.15.0","huggingface_hub":"2.4.0","jinja2":"3.1.6","numpy":"2.4.6","peft":"0.21.2","safetensors":"0.8.0","sage-doctor":"0.1.0","tokenizers":"0.23.3","torch":"2.13.0+cpu","transformers":"5.23.0"},"python":"3.11.7","system":{"kernel":"6.18.44-fc-v669","operating system":"Debian GNU/Linux 12 (bookworm)"}}');
INSERT INTO "snapshots" VALUES('e2be7ee59519cab34595eb2a2b47b354c49c8c1324e5be4e128f4f2f89b7f67a','{"boot_id":"4fab1b78-7613-47e2-8c6d-4f754a8fdf71","doctor":"0.1.0","interpreter":"/srv/models/.venv/bin/python","interpreter_problem":null,"manifest":"2485b61bd84c9b9fcd7ba1ac78e6294a6751fdc64c371e66806a973880ea68bc","memory_bytes":25276502016,"models":{"merged":"9448e53e88fb8046a64d6e3973a6476b71abe6da99e0cba6a10c3b3a6f966b35"},"packages":{"accelerate":"1.15.0","huggingface_hub":"2.4.0","jinja2":"3.1.6","numpy":"2.4.6","peft":"0.21.2","safetensors":"0.8.0","sage-doctor":"0.1.0","tokenizers":"0.23.3","torch":"2.13.0+cpu","transformers":"5.23.0"},"python":"3.11.7","system":{"kernel":"6.18.44-fc-v669","operating system":"Debian GNU/Linux 12 (bookworm)"}}');
CREATE INDEX runs_of_a_series ON runs(machine, hostname, manifest, targets, id);
CREATE INDEX findings_of_a_run ON findings(run);
CREATE INDEX measurements_of_a_run ON measurements(run);
CREATE INDEX measurements_of_a_subject ON measurements(subject, run);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',2);
COMMIT;
PRAGMA application_id = 1396985667;
PRAGMA user_version = 1;
