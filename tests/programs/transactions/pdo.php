<?php
// A loop of transactions of two rows each, whose beginning and end are also written to a plain file.
$database = new PDO($argv[1], $argv[3] ?? null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$file = fopen($argv[2], "a");
$number = (int) $database->query("SELECT coalesce(max(n), 0) FROM t")->fetchColumn();
$insert = $database->prepare("INSERT INTO t VALUES (?, ?)");
fwrite(STDOUT, "ready\n");
while (true) {
    $number++;
    $database->beginTransaction();
    $insert->execute([$number, "first"]);
    fwrite($file, "begun $number\n");
    $insert->execute([$number, "second"]);
    $database->commit();
    fwrite($file, "done $number\n");
}
