# A loop of transactions of two rows each, whose beginning and end are also written to a plain file.
use strict;
use warnings;
use DBI;
use IO::Handle;

my $database = DBI->connect($ARGV[0], $ARGV[2] // "", "", { RaiseError => 1, AutoCommit => 0 });
open(my $file, ">>", $ARGV[1]) or die $!;
$file->autoflush(1);
STDOUT->autoflush(1);
my ($number) = $database->selectrow_array("SELECT coalesce(max(n), 0) FROM t");
$database->commit;
my $insert = $database->prepare("INSERT INTO t VALUES (?, ?)");
print "ready\n";
while (1) {
    $number++;
    $insert->execute($number, "first");
    print $file "begun $number\n";
    $insert->execute($number, "second");
    $database->commit;
    print $file "done $number\n";
}
