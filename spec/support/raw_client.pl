# Sends the bytes of its standard input to a port of this machine, as they are, and prints what comes back until the
# other side closes:  raw_client.pl PORT [byte]  with `byte`, a byte at a time, a millisecond apart.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{PIPE} = 'IGNORE';
my ($port, $slowly) = @ARGV;
my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "cannot connect: $!\n";
$server->autoflush(1);
my $text = do { local $/; <STDIN> };
if ($slowly) {
    for my $byte (split //, $text) {
        print {$server} $byte;
        select undef, undef, undef, 0.001;
    }
}
else {
    print {$server} $text;
}
print while sysread $server, $_, 65536;
