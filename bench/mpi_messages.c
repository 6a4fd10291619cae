/* Seconds of the messages that a step of training over ranks sends: a broadcast of 2 KiB from rank 0, and each rank's bytes
 * gathered at all, for the sizes that are given. One line of JSON a kind and size, from rank 0.
 * mpicc -O2 mpi_messages.c -o mpi_messages && mpirun -n 2 ./mpi_messages 64 262144 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { WARM = 20, REPEATS = 200, TELL = 2048 };

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int i = 0; i < argc; i++) {
        int tell = i == 0, bytes = tell ? TELL : atoi(argv[i]);
        char *own = calloc(bytes, 1), *all = calloc(bytes, ranks);
        double took[REPEATS];
        for (int k = -WARM; k < REPEATS; k++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double start = MPI_Wtime();
            if (tell) {
                /* There and back, for rank 0 does not wait for the others. */
                char back = 0;
                MPI_Bcast(own, bytes, MPI_CHAR, 0, MPI_COMM_WORLD);
                MPI_Allgather(&back, 1, MPI_CHAR, all, 1, MPI_CHAR, MPI_COMM_WORLD);
            } else {
                MPI_Allgather(own, bytes, MPI_CHAR, all, bytes, MPI_CHAR, MPI_COMM_WORLD);
            }
            if (k >= 0) took[k] = MPI_Wtime() - start;
        }
        qsort(took, REPEATS, sizeof *took, by_value);
        if (rank == 0)
            printf("{\"kind\": \"%s\", \"bytes\": %d, \"seconds\": %.9f}\n", tell ? "tell" : "gather", bytes, took[REPEATS / 2]);
        free(own);
        free(all);
    }
    return MPI_Finalize();
}
