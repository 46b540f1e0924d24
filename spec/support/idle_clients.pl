# Opens connections to a port of this machine, sends the same text on each and nothing more, prints how many they are,
# and keeps them until its standard output is closed or it is ended:  idle_clients.pl PORT COUNT [TEXT]
use strict;
use warnings;
use IO::Socket::INET;

$SIG{PIPE} = 'IGNORE';
$| = 1;
my ($port, $count, $text) = @ARGV;
my @clients;
while (@clients < $count) {
    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or last;
    syswrite $client, $text if defined $text;
    push @clients, $client;
}
print scalar(@clients), "\n";
sleep 60;
